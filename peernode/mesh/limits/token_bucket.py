"""Token buckets: how much of something may happen per second, with a burst. Pure: time is passed in."""

from __future__ import annotations

from collections import OrderedDict

MAX_REMEMBERED = 4096


class TokenBucket:
    """Holds up to ``burst`` tokens and gains ``per_second``; starts full."""

    __slots__ = ("_burst", "_per_second", "_since_s", "_tokens")

    def __init__(self, *, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = self._tokens = burst
        self._since_s = float("-inf")

    def take(self, now_s: float, amount: float = 1.0) -> bool:
        """Take ``amount`` tokens if there are so many at ``now_s``."""
        self._refill(now_s)
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True

    def owe(self, now_s: float, amount: float) -> float:
        """Take ``amount`` tokens, on credit if need be; how many seconds to wait until the debt is paid."""
        self._refill(now_s)
        self._tokens -= amount
        return max(0.0, -self._tokens / self._per_second)

    def _refill(self, now_s: float) -> None:
        self._tokens = min(self._burst, self._tokens + max(0.0, now_s - self._since_s) * self._per_second)
        self._since_s = now_s


class KeyedBuckets:
    """One bucket per key, the most recently used 4096."""

    def __init__(self, *, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, key: str, now_s: float) -> bool:
        """Take one token from the bucket of ``key``."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(per_second=self._per_second, burst=self._burst)
        self._buckets.move_to_end(key)
        while len(self._buckets) > MAX_REMEMBERED:
            self._buckets.popitem(last=False)
        return bucket.take(now_s)
