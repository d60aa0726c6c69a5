"""How long to wait before a dead worker is started again: longer each time, and from the start after a stable run."""

from __future__ import annotations

import random

FIRST_S = 0.1
LONGEST_S = 30.0
STABLE_S = 60.0


class Backoff:
    """Doubles from 0.1 s to 30 s with up to a fifth of jitter, so that engines do not restart in step."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._failures = 0

    def delay_after(self, uptime_s: float) -> float:
        """Seconds to wait, given how long the worker was ready before it died (0.0 if it never was)."""
        if uptime_s >= STABLE_S:
            self._failures = 0
        delay_s = min(LONGEST_S, FIRST_S * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return delay_s * (1.0 - 0.2 * self._rng.random())
