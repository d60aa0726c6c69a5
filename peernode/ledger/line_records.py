"""Rows about credit between this node and its peers, as their readers see them. Amounts are micro-credits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Totals:
    """Between this node and ``peer``, in micro-credits; see ``market.credit.line.Position``."""

    peer: str
    given: int = 0
    taken: int = 0
    paid: int = 0
    repaid: int = 0


@dataclass(frozen=True, slots=True)
class Earned:
    """A peer's credit beyond a newcomer's as of ``earned_ms``; ``counted`` of its totals is in it."""

    peer: str
    earned: int
    earned_ms: int
    counted: int
    active_ms: int


@dataclass(frozen=True, slots=True)
class UnsignedJob:
    """A part of a request that ``peer`` got and did not sign for; ``withheld`` when it was asked to and would not.

    ``at_ms`` is when it began.
    """

    request_id: str
    part: int
    peer: str
    credits: int
    withheld: bool
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Something a peer did that is held against it."""

    peer: str
    kind: str
    reason: str
    request_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class KeptNote:
    """A settlement note this node made or was given."""

    creditor: str
    debtor: str
    settled: int
    amount: int
    reference: str
    raw: bytes
    recorded_ms: int
