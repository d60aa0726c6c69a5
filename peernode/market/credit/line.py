"""A line of credit between two nodes, from the side of the one who gives it. Pure integer arithmetic.

Amounts are micro-credits, times Unix milliseconds; the clock is always passed in. A *position* holds the four totals
between two nodes, none of which ever shrinks; what is owed, what was earned and how far the line reaches follow.
(Cumulative vouchers: Swarm's SWAP chequebook; lines that grow with what was settled: its accounting.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isqrt

# Halving by fractions of a half-life: 2^-(1/2), 2^-(1/4), … as integers of 64 binary places, by square roots.
_PLACES = 64
_STEPS = 32


def _roots_of_half() -> tuple[int, ...]:
    roots, last = [], 1 << (_PLACES - 1)
    for _ in range(_STEPS):
        last = isqrt(last << _PLACES)
        roots.append(last)
    return tuple(roots)


_ROOTS = _roots_of_half()


def decayed(amount: int, elapsed_ms: int, half_life_ms: int) -> int:
    """``amount`` × 2^(−elapsed ÷ half-life), rounded down. A clock that went back leaves it as it is."""
    if elapsed_ms <= 0 or amount <= 0:
        return max(amount, 0)
    halvings, rest = divmod(elapsed_ms, half_life_ms)
    if halvings >= amount.bit_length():
        return 0
    part, factor = (rest << _STEPS) // half_life_ms, 1 << _PLACES
    for step, root in enumerate(_ROOTS, start=1):
        if part >> (_STEPS - step) & 1:
            factor = factor * root >> _PLACES
    return amount * factor >> (_PLACES + halvings)


@dataclass(frozen=True, slots=True)
class Terms:
    """What this node's operator allows.

    ``newcomer``: what anybody may owe. ``growth_percent``: of what was settled or served, so much more may be owed;
    it halves every ``half_life_ms``. No line is longer than ``peer_cap``; all that is owed beyond what the debtors
    themselves earned is at most ``newcomers_cap`` together. ``own_limits`` are the operator's word for single peers:
    a limit, or None for none at all; they count neither as newcomers nor towards their cap.
    """

    newcomer: int = 1_000_000
    growth_percent: int = 50
    half_life_ms: int = 30 * 86_400_000
    peer_cap: int = 1_000_000_000
    newcomers_cap: int = 20_000_000
    own_limits: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Position:
    """Between this node and one peer. Each total only grows.

    ``given``: what this node served the peer, by the peer's newest voucher; ``taken``: the other way, by this node's
    own newest voucher. ``paid``: what of ``given`` was settled, by notes this node signed; ``repaid``: what of
    ``taken`` was settled, by notes the peer signed. ``earned`` is as of ``earned_ms``; ``active_ms`` is when service or
    a settlement was last, 0 for never.
    """

    given: int = 0
    taken: int = 0
    paid: int = 0
    repaid: int = 0
    earned: int = 0
    earned_ms: int = 0
    active_ms: int = 0

    @property
    def owed(self) -> int:
        """What the peer owes for what it got; below zero when it paid ahead."""
        return self.given - self.paid

    @property
    def owing(self) -> int:
        """What this node owes the peer; below zero when this node paid ahead."""
        return self.taken - self.repaid

    @property
    def balance(self) -> int:
        """What the peer owes once service in the other direction is set off against it."""
        return self.owed - self.owing

    def gave(self, cumulative: int, now_ms: int) -> Position:
        """The peer countersigned; its voucher replaces the older one if it is newer."""
        return replace(self, given=max(self.given, cumulative), active_ms=max(self.active_ms, now_ms))

    def took(self, cumulative: int, now_ms: int, terms: Terms) -> Position:
        """This node countersigned for the peer's service, which earns the peer credit."""
        more = max(cumulative - self.taken, 0)
        return replace(self.earning(more, now_ms, terms), taken=self.taken + more)

    def was_paid(self, settled: int, now_ms: int, terms: Terms) -> Position:
        """This node signed that ``settled`` was settled in all, which earns the peer credit."""
        more = max(settled - self.paid, 0)
        return replace(self.earning(more, now_ms, terms), paid=self.paid + more)

    def has_repaid(self, settled: int, now_ms: int) -> Position:
        """The peer signed that this node settled ``settled`` in all."""
        return replace(self, repaid=max(self.repaid, settled), active_ms=max(self.active_ms, now_ms))

    def earning(self, amount: int, now_ms: int, terms: Terms) -> Position:
        """``amount`` was settled or served: a share of it lengthens the line, up to the cap."""
        kept = decayed(self.earned, now_ms - self.earned_ms, terms.half_life_ms)
        earned = min(kept + amount * terms.growth_percent // 100, terms.peer_cap)
        at_ms = max(self.earned_ms, now_ms)
        return replace(self, earned=earned, earned_ms=at_ms, active_ms=max(self.active_ms, now_ms))


def earned_now(position: Position, now_ms: int, terms: Terms) -> int:
    """What the peer earned, as far as it has not faded."""
    return min(decayed(position.earned, now_ms - position.earned_ms, terms.half_life_ms), terms.peer_cap)


def limit_of(peer: str, position: Position, now_ms: int, terms: Terms) -> int | None:
    """How much the peer may owe; None for without limit."""
    if peer in terms.own_limits:
        return terms.own_limits[peer]
    return min(terms.newcomer + earned_now(position, now_ms, terms), terms.peer_cap)


def beyond_earned(peer: str, position: Position, held: int, now_ms: int, terms: Terms) -> int:
    """What the peer owes, or may soon, without having earned it: its share of the newcomers' cap."""
    if peer in terms.own_limits:
        return 0
    return max(position.balance + held - earned_now(position, now_ms, terms), 0)
