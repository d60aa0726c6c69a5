"""Requests and tokens per minute of each key, on this node: token buckets that tell how full they are. Pure.

Several nodes that share keys each grant the whole limit, for a count that all write would cost every request a round
trip. What an answer will have in tokens is reserved when it begins and corrected when it ends; an answer that was
longer than its reserve leaves a debt, and the next ones wait for it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from peernode.edge.errors import EdgeError
from peernode.ledger.client_key import ClientKey

MINUTE_S = 60.0
MAX_REMEMBERED = 16_384
ASK_LATER = "Ask again after the time that Retry-After names."


@dataclass(frozen=True, slots=True)
class Room:
    """One limit at one moment: its size, what is left of it, and the seconds until it is whole again."""

    limit: int
    remaining: int
    whole_in_s: float

    def headers(self, now_s: float) -> list[tuple[bytes, bytes]]:
        """``X-RateLimit-*``; ``Reset`` is Unix seconds, ``now_s`` too."""
        return [
            (b"x-ratelimit-limit", str(self.limit).encode()),
            (b"x-ratelimit-remaining", str(self.remaining).encode()),
            (b"x-ratelimit-reset", str(math.ceil(now_s + self.whole_in_s)).encode()),
        ]


class Limited(EdgeError):
    """Base of the limits by time. ``room`` is the one that was reached."""

    code = "rate_limited"

    def __init__(
        self, sentence: str, *, retry_after_s: float, room: Room | None = None, cause: str = "", remedy: str = ""
    ) -> None:
        super().__init__(sentence, cause=cause, remedy=remedy)
        self.retry_after_s = retry_after_s
        self.room = room


class TooManyRequests(Limited):
    code = "requests_per_minute"


class TooManyTokens(Limited):
    code = "tokens_per_minute"


class TooManyWrongKeys(Limited):
    """An address that comes with wrong keys again and again."""

    code = "too_many_wrong_keys"


class MinuteBucket:
    """``limit`` a minute, evenly refilled; starts full."""

    __slots__ = ("_left", "_since_s", "limit")

    def __init__(self, limit: int, now_s: float) -> None:
        self.limit = limit
        self._left = float(limit)
        self._since_s = now_s

    def resize(self, limit: int) -> None:
        """The operator changed the limit: what was used stays used."""
        self._left += limit - self.limit
        self.limit = limit

    def wait_s(self, amount: float, now_s: float) -> float:
        """Seconds until ``amount`` (at most the limit) is there; 0 if it is now."""
        self._refill(now_s)
        missing = min(amount, self.limit) - self._left
        # A thousandth of a unit is the rounding of clocks, not use.
        return max(0.0, missing * MINUTE_S / self.limit) if missing > 1e-3 else 0.0

    def take(self, amount: float, now_s: float) -> None:
        """Take, into debt if need be; a negative amount gives back."""
        self._refill(now_s)
        self._left = min(self._left - amount, float(self.limit))

    def room(self, now_s: float) -> Room:
        self._refill(now_s)
        used = self.limit - self._left
        return Room(self.limit, max(0, math.floor(self._left + 1e-3)), max(0.0, used * MINUTE_S / self.limit))

    def _refill(self, now_s: float) -> None:
        gained = max(0.0, now_s - self._since_s) * self.limit / MINUTE_S
        self._left = min(float(self.limit), self._left + gained)
        self._since_s = now_s


class Ticket:
    """One admitted request; ``settle`` once, with the tokens that it really had."""

    def __init__(self, tokens: MinuteBucket | None, reserved: int, room: Room | None) -> None:
        self._tokens = tokens
        self._reserved = reserved
        self.room = room

    def settle(self, used: int, now_s: float) -> None:
        if self._tokens is not None:
            self._tokens.take(used - self._reserved, now_s)
            self._tokens = None


class RateLimits:
    """The buckets of all keys that came lately."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[tuple[str, str], MinuteBucket] = OrderedDict()

    def admit(self, key: ClientKey, tokens: int, now_s: float) -> Ticket:
        """Let one request with probably ``tokens`` tokens in. Raises TooManyRequests or TooManyTokens.

        The ticket's ``room`` is that of the requests, or of the tokens where only they are limited.
        """
        requests = self._bucket(key.id, "requests", key.limits.requests_per_minute, now_s)
        spent = self._bucket(key.id, "tokens", key.limits.tokens_per_minute, now_s)
        if requests is not None and (wait := requests.wait_s(1, now_s)):
            raise TooManyRequests(
                "This key has had its requests of this minute.",
                retry_after_s=wait,
                room=requests.room(now_s),
                cause=f"{requests.limit} a minute",
                remedy=ASK_LATER,
            )
        if spent is not None and (wait := spent.wait_s(tokens, now_s)):
            raise TooManyTokens(
                "This key has had its tokens of this minute.",
                retry_after_s=wait,
                room=spent.room(now_s),
                cause=f"{spent.limit} a minute; this request may have {tokens}",
                remedy=ASK_LATER,
            )
        reserved = tokens if spent is None else min(tokens, spent.limit)
        if requests is not None:
            requests.take(1, now_s)
        if spent is not None:
            spent.take(reserved, now_s)
        shown = requests or spent
        return Ticket(spent, reserved, shown.room(now_s) if shown else None)

    def _bucket(self, key_id: str, kind: str, limit: int | None, now_s: float) -> MinuteBucket | None:
        if limit is None:
            self._buckets.pop((key_id, kind), None)
            return None
        bucket = self._buckets.get((key_id, kind))
        if bucket is None:
            bucket = self._buckets[key_id, kind] = MinuteBucket(limit, now_s)
        elif bucket.limit != limit:
            bucket.resize(limit)
        self._buckets.move_to_end((key_id, kind))
        while len(self._buckets) > MAX_REMEMBERED:
            self._buckets.popitem(last=False)
        return bucket
