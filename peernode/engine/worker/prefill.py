"""Whose prompt is computed in the next step, and how much of it.

Owns the division of a step's prompt budget: background jobs last, fair shares between payers, order of arrival for one
payer, and waiting for a prefix that another sequence is just computing.
"""

from __future__ import annotations

from peernode.engine.worker.fairness import Shares
from peernode.engine.worker.prefix_tree import common_length
from peernode.engine.worker.residents import LEAST_SHARED, Residents
from peernode.engine.worker.sequence import Sequence

# A turn of one payer, where several have prompts.
_TURN = 64


class Prefill:
    """``chunks`` once per step."""

    def __init__(self, residents: Residents, *, kernel_rows: int) -> None:
        self._residents = residents
        self._kernel_rows = kernel_rows
        self._shares = Shares()

    def chunks(self, running: list[Sequence], *, room: int, beside: int) -> list[tuple[Sequence, int]]:
        """Sequences of ``running`` (oldest first) with the number of tokens to compute; ``beside`` rows decode."""
        ready = self._ready([sequence for sequence in running if sequence.prefilling])
        sizes: dict[int, int] = {}
        waiting = {sequence.job: sequence for sequence in ready}
        while room > 0 and waiting:
            entitled = [one for one in waiting.values() if not one.background] or list(waiting.values())
            payers = {sequence.payer: None for sequence in entitled}
            payer = self._shares.next(payers)
            sequence = next(sequence for sequence in entitled if sequence.payer == payer)
            done = sizes.get(sequence.job, 0)
            left = _until_boundary(sequence) - done
            size = left if _is_indivisible(sequence) else min(left, room, _TURN if len(payers) > 1 else room)
            sizes[sequence.job] = done + size
            room -= size
            self._shares.charge(payer, size)
            if size == left:
                del waiting[sequence.job]
        chosen = [(sequence, sizes[sequence.job]) for sequence in ready if sequence.job in sizes]
        return self._without_lone_rows(chosen, beside) if self._kernel_rows else chosen

    def _ready(self, prefilling: list[Sequence]) -> list[Sequence]:
        """All but those who would compute what an older one is about to have."""
        ready: list[Sequence] = []
        for sequence in prefilling:
            if self._residents.shares and not sequence.computed:
                self._residents.attach(sequence)
                if any(_is_worth_waiting_for(older, sequence) for older in ready):
                    continue
            ready.append(sequence)
        return ready

    def _without_lone_rows(self, chosen: list[tuple[Sequence, int]], beside: int) -> list[tuple[Sequence, int]]:
        """A row that the kernel gets alone is rounded differently, so neither now nor next time is one left over."""
        sized = []
        for sequence, size in chosen:
            left = _until_boundary(sequence) - size
            cut = size - 1 if left == 1 and size > 2 and not _is_indivisible(sequence) else size
            apart = sequence.layout.at(sequence.in_memory) is not None and not _is_indivisible(sequence)
            sized.append((sequence, self._evened(cut, cut) if apart else cut))
        texts = [at for at, (sequence, _) in enumerate(sized) if sequence.layout.at(sequence.in_memory) is None]
        if texts:
            sequence, size = sized[texts[-1]]
            sized[texts[-1]] = (sequence, self._evened(size, beside + sum(sized[at][1] for at in texts)))
        return sized

    def _evened(self, size: int, rows: int) -> int:
        """The last chunk of ``rows`` in all, made a little smaller if it would leave a row alone."""
        return size - 2 if rows > 1 and rows % self._kernel_rows == 1 and size > 3 else size


def _until_boundary(sequence: Sequence) -> int:
    """Cells left until the kind of rows changes: to the next image, to this one's end, or to the prompt's."""
    layout, at = sequence.layout, sequence.in_memory
    if (span := layout.at(at)) is not None:
        return span.end - at
    start = layout.next_start(at)
    return (len(sequence.feed) if start is None else start) - at


def _is_indivisible(sequence: Sequence) -> bool:
    span = sequence.layout.at(sequence.in_memory)
    return span is not None and not span.run.causal


def _is_worth_waiting_for(older: Sequence, younger: Sequence) -> bool:
    if older.salt != younger.salt:
        return False
    common = younger.layout.whole(min(common_length(older.feed, younger.feed), younger.sharable))
    return older.in_memory < common and common >= younger.in_memory + LEAST_SHARED
