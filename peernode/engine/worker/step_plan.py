"""What one decode step computes, and for whom: rows of running answers first, then pieces of prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from peernode.engine.worker.backend import Backend
from peernode.engine.worker.sequence import Sequence


@dataclass(frozen=True, slots=True)
class StepPlan:
    """``chunks`` holds sequences with the number of prompt tokens to compute of each. Counts are in tokens."""

    decoding: list[Sequence]
    chunks: list[tuple[Sequence, int]]

    def __bool__(self) -> bool:
        return bool(self.decoding or self.chunks)

    @property
    def sequences(self) -> list[Sequence]:
        return [*self.decoding, *(sequence for sequence, _ in self.chunks)]

    @property
    def rows(self) -> int:
        """Tokens of answers, drafts included."""
        return sum(len(sequence.pending) + len(sequence.drafts) for sequence in self.decoding)

    @property
    def drafted(self) -> int:
        return sum(len(sequence.drafts) for sequence in self.decoding)

    @property
    def prefilled(self) -> int:
        return sum(size for _, size in self.chunks)

    def fill(self, backend: Backend) -> None:
        """Every decoding sequence gets a row after its last pending token and one after each draft."""
        backend.begin()
        for sequence in self.decoding:
            tokens = np.array(sequence.pending + sequence.drafts, np.int32)
            backend.add(tokens, sequence.in_memory, sequence.slot, outputs=1 + len(sequence.drafts))
        for sequence, size in self.chunks:
            done = sequence.in_memory
            last = done + size == len(sequence.feed)
            backend.add(sequence.feed[done : done + size], done, sequence.slot, outputs=int(last))
