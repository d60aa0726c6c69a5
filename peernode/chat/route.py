"""How a router came to its choice, in plain data: whom it considered, what it expected of each, and who was left out.

Times are seconds, ``credits`` micro-credits, ``hit_tokens`` prompt tokens that the peer probably has computed already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class Terms(NamedTuple):
    """What a candidate is expected to take, and to cost."""

    expected_s: float
    first_token_s: float
    round_trip_s: float
    queue_s: float
    prefill_s: float
    decode_s: float
    load_s: float
    reliability: float
    hit_tokens: int
    credits: int
    healthy: bool


@dataclass(frozen=True, slots=True)
class Considered:
    """One peer with one model that could be asked, and what gave it its place.

    ``cost_s`` is the expected time, and with it the toll: what the job would cost others there.
    """

    provider: str
    model: str
    terms: Terms
    cost_s: float

    def to_fields(self) -> dict[str, Any]:
        """All of it on one level."""
        terms = self.terms
        toll_s = self.cost_s - terms.expected_s
        return {"provider": self.provider, "model": self.model, **terms._asdict(), "toll_s": toll_s}


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One peer with one model that must not be asked, and the name of the filter that says so."""

    provider: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Route:
    """``considered`` is in the order of asking."""

    considered: tuple[Considered, ...]
    left_out: tuple[LeftOut, ...]
