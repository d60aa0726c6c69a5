"""Whose turn it is: service by tokens is shared evenly between the payers who want some.

Fair queueing with a virtual clock, which bounds what a payer is behind by one turn as deficit round robin does, and
needs no rounds: each payer's account says how much was done for it, and the smallest account is served next. A payer
who was away starts at the clock, so that idling saves nothing up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from peernode.engine.worker.sequence import Sequence

# Far more payers than can wait at once.
MOST_ACCOUNTS = 1024


class Shares:
    """``next`` says whose turn it is; ``charge`` what the turn cost."""

    def __init__(self) -> None:
        self._accounts: dict[str, int] = {}
        self._clock = 0

    def next(self, payers: Iterable[str]) -> str:
        """The one of ``payers`` that has had least; the first of equals."""
        return min(payers, key=lambda payer: self._accounts.get(payer, self._clock))

    def charge(self, payer: str, tokens: int) -> None:
        """``payer`` is the one that ``next`` named."""
        self._clock = max(self._clock, self._accounts.get(payer, 0))
        self._accounts[payer] = self._clock + tokens
        self._forget()

    def __len__(self) -> int:
        """How many accounts are kept."""
        return len(self._accounts)

    def _forget(self) -> None:
        """Whoever is at the clock needs no account. Of too many the clock passes the smallest by: payers who come once
        and never again would leave theirs for ever, for the clock stands still while nobody comes twice.
        """
        if len(self._accounts) > MOST_ACCOUNTS:
            self._clock = min(self._accounts.values())
        self._accounts = {payer: had for payer, had in self._accounts.items() if had > self._clock}


class Line:
    """The jobs that wait: in order of arrival for one payer, by fair shares between payers, background jobs last.

    A quarter of the places is kept for payers who have nothing in the line, so that one cannot fill it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tiers: dict[bool, dict[str, deque[Sequence]]] = {False: {}, True: {}}
        self._shares = Shares()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def join(self, sequence: Sequence) -> bool:
        """False when there is no place."""
        kept = self._limit // 4 if any(sequence.payer in tier for tier in self._tiers.values()) else 0
        if self._size >= self._limit - kept:
            return False
        self._queue_of(sequence).append(sequence)
        self._size += 1
        return True

    def come_back(self, sequence: Sequence) -> None:
        """Stand before all others of the same payer; there is always a place for one who was served before."""
        self._queue_of(sequence).appendleft(sequence)
        self._size += 1

    def head(self) -> Sequence | None:
        """Who comes next. Nobody overtakes it, so that a large job is not starved by small ones."""
        tier = self._tiers[False] or self._tiers[True]
        return tier[self._shares.next(tier)][0] if tier else None

    def serve(self, sequence: Sequence) -> None:
        """Take the head out of the line."""
        self._take(sequence)
        self.pass_by(sequence)

    def pass_by(self, sequence: Sequence) -> None:
        """It is served without having waited, which counts all the same."""
        self._shares.charge(sequence.payer, sequence.reserved)

    def leave(self, job: int) -> Sequence | None:
        """Take a job out of the line, or None if it does not wait."""
        for tier in self._tiers.values():
            for queue in tier.values():
                for sequence in queue:
                    if sequence.job == job:
                        self._take(sequence)
                        return sequence
        return None

    def _queue_of(self, sequence: Sequence) -> deque[Sequence]:
        return self._tiers[sequence.background].setdefault(sequence.payer, deque())

    def _take(self, sequence: Sequence) -> None:
        queue = self._queue_of(sequence)
        queue.remove(sequence)
        self._size -= 1
        if not queue:
            del self._tiers[sequence.background][sequence.payer]
