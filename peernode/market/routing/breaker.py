"""A circuit breaker for each peer: closed, open after failures in a row, then half open for one job to probe.

Pure: the clock and the jitter are passed in. (Nygard, "Release It!".)
"""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum

# The second failure in a row within this time opens the circuit.
FAILURES = 2
WITHIN_S = 60.0
FIRST_OPEN_S = 5.0
LONGEST_OPEN_S = 300.0
JITTER = 0.2
MAX_BREAKERS = 4096


class Circuit(Enum):
    """What may pass: all, nothing, or one job that shows whether the peer is well again."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


@dataclass(slots=True)
class Breaker:
    """One peer's circuit. Times in seconds on the caller's clock. ``away_until_s``: it asked to be left alone."""

    failures: int = 0
    failed_s: float = float("-inf")
    open_until_s: float = float("-inf")
    opened: int = 0
    probing: bool = False
    away_until_s: float = float("-inf")

    def state(self, now: float) -> Circuit:
        if not self.opened:
            return Circuit.CLOSED
        return Circuit.OPEN if now < self.open_until_s else Circuit.HALF_OPEN

    def permits(self, now: float) -> bool:
        """Whether a job may be sent now; of a half open circuit one at a time."""
        state = self.state(now)
        if now < self.away_until_s:
            return False
        return state is Circuit.CLOSED or (state is Circuit.HALF_OPEN and not self.probing)

    def sent(self, now: float) -> None:
        """A job is on its way."""
        if self.state(now) is Circuit.HALF_OPEN:
            self.probing = True

    def succeeded(self) -> None:
        """A job came to its end: all is forgiven."""
        self.failures = self.opened = 0
        self.probing = False

    def abandoned(self) -> None:
        """A job ended by nobody's fault: it says nothing."""
        self.probing = False

    def failed(self, now: float, rng: random.Random, *, at_once: bool = False) -> None:
        """A job failed by the peer's fault; ``at_once`` for what opens the circuit by itself, such as a lie."""
        was = self.state(now)
        self.failures = self.failures + 1 if now - self.failed_s <= WITHIN_S else 1
        self.failed_s = now
        self.probing = False
        if at_once or was is not Circuit.CLOSED or self.failures >= FAILURES:
            self.opened += was is not Circuit.OPEN
            pause = min(FIRST_OPEN_S * 2.0 ** (max(self.opened, 1) - 1), LONGEST_OPEN_S)
            self.opened = max(self.opened, 1)
            self.open_until_s = now + pause * (1 + JITTER * rng.random())

    def retry_after(self, now: float, seconds: float) -> None:
        """The peer itself asks to be left alone for a while; that is no failure."""
        self.away_until_s = now + min(seconds, LONGEST_OPEN_S)

    def back_in(self, now: float) -> float:
        """Seconds until something may be sent again; 0 where a probe is all that is waited for."""
        return max(self.open_until_s - now if self.opened else 0.0, self.away_until_s - now, 0.0)


class Breakers:
    """The breakers of all peers; bounded. Who has none is well."""

    def __init__(self) -> None:
        self._breakers: OrderedDict[str, Breaker] = OrderedDict()
        self._banished: OrderedDict[str, str] = OrderedDict()

    def banish(self, peer: str, reason: str) -> None:
        """Never send anything to a peer again, whatever it does; bounded like the rest."""
        self._banished[peer] = reason
        if len(self._banished) > MAX_BREAKERS:
            self._banished.popitem(last=False)

    def of(self, peer: str) -> Breaker:
        breaker = self._breakers.get(peer)
        if breaker is None:
            breaker = self._breakers[peer] = Breaker()
            if len(self._breakers) > MAX_BREAKERS:
                self._breakers.popitem(last=False)
        self._breakers.move_to_end(peer)
        return breaker

    def shunned(self, peer: str, now: float) -> str:
        """Why nothing may be sent to a peer now; empty when something may."""
        if peer in self._banished:
            return self._banished[peer]
        breaker = self._breakers.get(peer)
        if breaker is None or breaker.permits(now):
            return ""
        left = breaker.back_in(now)
        if now < breaker.away_until_s:
            return f"busy for {left:.0f} s, by its own word"
        return f"circuit open for {left:.0f} s" if left > 0 else "circuit half open, a probe is under way"

    def back_in(self, peer: str, now: float) -> float:
        """See ``Breaker.back_in``; 0 for whoever has none."""
        breaker = self._breakers.get(peer)
        return breaker.back_in(now) if breaker else 0.0
