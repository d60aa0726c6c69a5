"""What one decode step computes, and for whom: rows of running answers first, then pieces of prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from peernode.engine.worker.backend import Backend
from peernode.engine.worker.sequence import Sequence


@dataclass(frozen=True, slots=True)
class StepPlan:
    """``chunks`` holds sequences with the number of prompt tokens to compute of each. Counts are in tokens.

    ``images`` are chunks whose cells are embeddings: each is computed by itself, before all else.
    """

    decoding: list[Sequence]
    chunks: list[tuple[Sequence, int]]
    images: list[tuple[Sequence, int]] = field(default_factory=list)

    @classmethod
    def of(cls, decoding: list[Sequence], chunks: list[tuple[Sequence, int]]) -> Self:
        """``chunks`` of all kinds, each of which lies in one image or in none."""
        images = [chunk for chunk in chunks if chunk[0].layout.at(chunk[0].in_memory)]
        return cls(decoding, [chunk for chunk in chunks if chunk not in images] if images else chunks, images)

    def __bool__(self) -> bool:
        return bool(self.decoding or self.chunks or self.images)

    def without(self, gone: Callable[[Sequence], bool]) -> StepPlan:
        """The rest of it after its images, less the sequences that are ``gone``."""
        decoding = [sequence for sequence in self.decoding if not gone(sequence)]
        return StepPlan(decoding, [chunk for chunk in self.chunks if not gone(chunk[0])])

    @property
    def sequences(self) -> list[Sequence]:
        """Those that share the batch."""
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
        return sum(size for _, size in (*self.chunks, *self.images))

    def fill(self, backend: Backend) -> None:
        """Every decoding sequence gets a row after its last pending token and one after each draft."""
        backend.begin()
        for sequence in self.decoding:
            tokens = np.array(sequence.pending + sequence.drafts, np.int32)
            place = sequence.layout.position(sequence.in_memory)
            backend.add(tokens, place, sequence.slot, outputs=1 + len(sequence.drafts))
        for sequence, size in self.chunks:
            done = sequence.in_memory
            last = done + size == len(sequence.feed)
            place = sequence.layout.position(done)
            backend.add(sequence.feed[done : done + size], place, sequence.slot, outputs=int(last))


def show_image(backend: Backend, sequence: Sequence, size: int) -> int:
    """Compute the next ``size`` cells of the image that the sequence has come to; what ``decode`` says of it."""
    at = sequence.in_memory
    span = sequence.layout.at(at)
    assert span is not None
    embeddings, positions = span.embeddings(at, size), span.positions(at, size)
    return backend.decode_embeddings(embeddings, positions, sequence.slot, causal=span.run.causal)
