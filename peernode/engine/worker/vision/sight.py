"""What makes a model see: its projector, the cache before it, and the limits on what one request may show it.

Owns the order of things for each image: decode, count, then encode; nothing is encoded that has no place afterwards.
Everything here may take seconds and runs beside the decode loop.
"""

from __future__ import annotations

from collections.abc import Sequence

from peernode.chat.errors import BadRequest, ContextTooLong
from peernode.engine.worker.vision.embedder import Embedded, Embedder, Encoder, cells_of
from peernode.engine.worker.vision.picture import read_picture
from peernode.engine.worker.vision.prompt import Placeholders

# Enough for the tiles of a small tiling model and for a page of text in a model that takes images as large as they are.
IMAGE_TOKENS = 1536
CACHE_BYTES = 256 << 20


class Sight:
    """``see`` for one request at a time or several; ``placeholders`` say in a prompt where each image stands.

    ``whole_cells`` is what one llama_decode must hold because it cannot be cut, 0 if everything can.
    """

    def __init__(
        self, encoder: Encoder, *, whole_cells: int = 0, budget: int = IMAGE_TOKENS, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._embedder = Embedder(encoder, cache_bytes=cache_bytes)
        self._budget = budget
        self.whole_cells = whole_cells
        self.placeholders = Placeholders()

    def see(self, files: Sequence[bytes], *, room: int) -> list[Embedded]:
        """What stands for each file in a prompt; together they may take ``room`` cells.

        Raises BadRequest for a file that is no image or makes too much, ContextTooLong when they do so together,
        ProviderFailed when they cannot be encoded and ProviderBusy when too many are being held.
        """
        found: list[Embedded] = []
        for number, data in enumerate(files, 1):
            name = f"Image {number}"
            left = room - sum(map(cells_of, found))

            def within(cells: int, name: str = name, left: int = left) -> None:
                self._check(name, cells, left)

            found.append(self._embedder.embed(read_picture(data, name), within=within))
        return found

    def _check(self, name: str, cells: int, left: int) -> None:
        if cells > self._budget:
            raise BadRequest(
                f"{name} takes too many tokens.",
                param="messages",
                cause=f"{cells}, at most {self._budget} are allowed for one",
                remedy="Send it smaller, or cut into parts.",
            )
        if cells > left:
            raise ContextTooLong(
                "The images do not fit the model's context.",
                param="messages",
                cause=f"{name} takes {cells} tokens, {max(left, 0)} are left",
                remedy="Send fewer images, or smaller ones.",
            )
