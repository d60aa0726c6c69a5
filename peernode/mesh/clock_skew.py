"""By how much other nodes' clocks differ from ours, estimated from words heard from their originators themselves.

Pure. A word is heard a moment after it is said, never before; so of the last few differences the largest is nearest to
the truth, and the estimate is too low by the shortest delay among them.
"""

from __future__ import annotations

import statistics
from collections import OrderedDict, deque

MAX_REMEMBERED = 1024
SAMPLES = 5
# Above this it is worth telling: well beyond delays, well below what is refused.
NOTEWORTHY_MS = 5_000
ENOUGH_PEERS = 3


class ClockSkew:
    """Estimates by peer id, in milliseconds; positive is ahead of us. The 1024 peers heard last are remembered."""

    def __init__(self) -> None:
        self._samples: OrderedDict[str, deque[int]] = OrderedDict()
        self._told: set[str] = set()

    def heard(self, peer: str, said_ms: int, wall_ms: int) -> bool:
        """Note by which clocks a word was said and heard; True once per peer, when its clock is noteworthily off."""
        samples = self._samples.setdefault(peer, deque(maxlen=SAMPLES))
        samples.append(said_ms - wall_ms)
        self._samples.move_to_end(peer)
        while len(self._samples) > MAX_REMEMBERED:
            gone, _ = self._samples.popitem(last=False)
            self._told.discard(gone)
        if abs(max(samples)) <= NOTEWORTHY_MS or peer in self._told:
            return False
        self._told.add(peer)
        return True

    def of(self, peer: str) -> int | None:
        """The estimate for one peer; None if it was never heard directly."""
        samples = self._samples.get(peer)
        return max(samples) if samples else None

    def own(self) -> int | None:
        """How far our own clock is *behind* that of most others; None while too few were heard to say."""
        if len(self._samples) < ENOUGH_PEERS:
            return None
        return round(statistics.median(max(samples) for samples in self._samples.values()))
