"""A clock that jumps from one event to the next. One seed and the order of events replay everything."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Clock:
    """``now`` in seconds since the beginning. Events of one moment happen in the order in which they were set."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._set = 0

    def at(self, when: float, happen: Callable[[], None]) -> None:
        """Let something happen at ``when``, or now if that is past."""
        heapq.heappush(self._events, (max(when, self.now), self._set, happen))
        self._set += 1

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        self.at(self.now + seconds, happen)

    def run(self, until: float) -> None:
        """Everything up to ``until``."""
        while self._events and self._events[0][0] <= until:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
        self.now = until
