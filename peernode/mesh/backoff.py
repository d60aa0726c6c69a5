"""When to try an address again: pauses that double with each failure, with jitter, forgotten on success.

Pure: time and randomness are passed in. Leaves dialling to ``connections``.
"""

from __future__ import annotations

import random
from collections import OrderedDict

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0
MAX_REMEMBERED = 4096


class Backoff:
    """Remembers failures per address (or whatever else is tried again), the most recent 4096."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures: OrderedDict[str, tuple[int, float, float]] = OrderedDict()

    def ready_at(self, address: str) -> float:
        """The time from which ``address`` may be tried; 0 when it never failed."""
        return self._failures.get(address, (0, 0.0, 0.0))[1]

    def failed_at(self, address: str) -> float:
        """The time of the last failure; minus infinity when it never failed, or succeeded since."""
        return self._failures.get(address, (0, 0.0, float("-inf")))[2]

    def failed(self, address: str, now_s: float, *, longest_s: float = MAX_PAUSE_S) -> None:
        """Note a failure at ``now_s``: the next try waits 1 s, then 2, 4 … ``longest_s``, give or take a fifth."""
        count = self._failures.get(address, (0, 0.0, 0.0))[0] + 1
        pause = min(FIRST_PAUSE_S * 2 ** min(count - 1, 10), longest_s) * self._rng.uniform(0.8, 1.2)
        self._failures[address] = (count, now_s + pause, now_s)
        self._failures.move_to_end(address)
        while len(self._failures) > MAX_REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget the failures of ``address``."""
        self._failures.pop(address, None)
