"""What the batcher needs of a llama.cpp context: one batch at a time, filled, decoded, and read row by row."""

from __future__ import annotations

from typing import Protocol

from peernode.engine.worker.candidates import Floats
from peernode.engine.worker.residents import Cells
from peernode.engine.worker.sequence import TokenArray


class Backend(Cells, Protocol):
    """One context's batch. Rows of logits come in the order in which ``add`` asked for them."""

    @property
    def kernel_rows(self) -> int:
        """How many rows are computed together; a row left alone may round differently. 0 where that is no matter."""
        ...

    def begin(self) -> None: ...

    def add(self, tokens: TokenArray, position: int, slot: int, *, outputs: int) -> None:
        """``tokens`` follow each other from ``position`` on; the last ``outputs`` of them get a row of logits."""
        ...

    def decode(self) -> int:
        """Run the batch; 0 is success, anything else llama.cpp's reason."""
        ...

    def decode_embeddings(self, embeddings: Floats, positions: TokenArray, slot: int, *, causal: bool) -> int:
        """Run an image's embeddings now and apart from the batch; the same word as ``decode``'s. No logits come of it.

        ``positions`` has one number for each, or four, section by section. What is not ``causal`` sees all of itself.
        """
        ...

    def logits(self, row: int) -> Floats: ...
