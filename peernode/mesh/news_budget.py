"""How much news one originator may spread: a token bucket per peer, so that a valid key is no licence to flood.

Pure: time is passed in. Leaves the verdict on a single message to ``gossip``.
"""

from __future__ import annotations

from collections import OrderedDict

PER_SECOND = 1.0
BURST = 8.0
MAX_REMEMBERED = 4096


class NewsBudget:
    """Buckets by originator, the most recently active 4096."""

    def __init__(self, *, per_second: float = PER_SECOND, burst: float = BURST) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, originator: str, now_s: float) -> bool:
        """Take one token; False when the originator has none left at ``now_s``."""
        tokens, since_s = self._buckets.get(originator, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - since_s) * self._per_second)
        granted = tokens >= 1.0
        self._buckets[originator] = (tokens - 1.0 if granted else tokens, now_s)
        self._buckets.move_to_end(originator)
        while len(self._buckets) > MAX_REMEMBERED:
            self._buckets.popitem(last=False)
        return granted
