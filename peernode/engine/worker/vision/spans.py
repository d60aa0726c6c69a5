"""Where pictures stand in a sequence: cells of the model's memory on one side, positions for its rotary encoding on the
other.

A picture's embeddings take one cell each, like a token. Most models count positions the same way. Models with M-RoPE
place a picture's cells in a grid at one position and go on after its longer side, so that they use more cells than
positions. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peernode.engine.worker.candidates import Floats

# M-RoPE counts from a picture's own position in its sections t, y and x, not in z.
_MOVES = np.array([[1], [1], [1], [0]], np.int32)


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class ImageRun:
    """Embeddings that belong together, float32 (cells, width), wherever in a prompt they will stand.

    ``grid`` has M-RoPE's sections t, y, x, z for each cell, int32 (4, cells) counted from the picture's position, or is
    None where positions follow one another. ``ids`` stand for the cells among tokens: negative, and the same only for
    the same picture. A run that is not ``causal`` looks at all of itself and must be computed whole.
    """

    embeddings: Floats
    ids: NDArray[np.int32]
    n_pos: int
    causal: bool = True
    grid: NDArray[np.int32] | None = None

    @property
    def cells(self) -> int:
        return len(self.embeddings)


@dataclass(frozen=True, eq=False, slots=True)
class Span:
    """A run in a sequence: the cells from ``start`` to ``end``, the first at ``position``."""

    run: ImageRun
    start: int
    position: int

    @property
    def end(self) -> int:
        return self.start + self.run.cells

    def embeddings(self, cell: int, size: int) -> Floats:
        """Those of ``size`` cells from ``cell`` on, which lie in this span."""
        first = cell - self.start
        return self.run.embeddings[first : first + size]

    def positions(self, cell: int, size: int) -> NDArray[np.int32]:
        """What llama_decode wants with them: one number each, or for M-RoPE all t, then all y, all x, all z."""
        first = cell - self.start
        if self.run.grid is None:
            return np.arange(self.position + first, self.position + first + size, dtype=np.int32)
        return (self.run.grid[:, first : first + size] + _MOVES * np.int32(self.position)).ravel()


class Layout:
    """All spans of one sequence in order. Of a text alone, every answer is trivial and quick."""

    __slots__ = ("_after", "_lead", "spans")

    def __init__(self, runs: Sequence[tuple[int, ImageRun]] = ()) -> None:
        """``runs`` with the cell at which each begins."""
        spans: list[Span] = []
        lead = 0  # by how much cells are ahead of positions
        for start, run in runs:
            spans.append(Span(run, start, start - lead))
            lead += run.cells - run.n_pos
        self.spans = tuple(spans)
        self._lead = lead
        self._after = spans[-1].end if spans else 0

    def position(self, cell: int) -> int:
        """The position of a text token at ``cell``, or of the picture that has it."""
        if cell >= self._after:
            return cell - self._lead
        lead = 0
        for span in self.spans:
            if cell < span.end:
                inside = max(0, cell - span.start) if span.run.grid is not None else 0
                return cell - inside - lead
            lead += span.run.cells - span.run.n_pos
        raise AssertionError("a cell before the end of the last span is in none of them")

    def at(self, cell: int) -> Span | None:
        """The span that ``cell`` lies in."""
        return next((span for span in self.spans if span.start <= cell < span.end), None)

    def next_start(self, cell: int) -> int | None:
        """Where the first picture after ``cell`` begins."""
        return next((span.start for span in self.spans if span.start > cell), None)

    def whole(self, cells: int) -> int:
        """The most of ``cells`` leading cells that end beside a picture and not inside one.

        Only so much is shared: the inside of a picture may have no position to cut at, and ids of a whole picture
        cannot be alike by chance.
        """
        if cells >= self._after:
            return cells
        span = self.at(cells)
        return cells if span is None else span.start


TEXT_ONLY = Layout()


def placeholder_ids(key: bytes, cells: int) -> NDArray[np.int32]:
    """Negative ids that stand for a picture's cells, drawn from its hash."""
    drawn = np.frombuffer(hashlib.shake_256(key).digest(4 * cells), np.uint32) >> 1
    return -1 - drawn.astype(np.int32)
