"""What the ledger knows of a client's account, as its readers see it. Credits are micro-credits, days UTC. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """One key's money: what is left, what is held for running jobs, and what was spent since when."""

    balance: int = 0
    held: int = 0
    spent: int = 0
    spent_today: int = 0
    spent_this_week: int = 0
    spent_this_month: int = 0

    @property
    def granted(self) -> int:
        """All that was ever granted: what was not is left, held or spent."""
        return self.balance + self.held + self.spent


@dataclass(frozen=True, slots=True)
class DayUse:
    """What one key used of one model on one day."""

    day: str
    model: str
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    credits: int


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A request that a key paid for. ``model`` is the name asked for, ``charged`` what its receipts took so far.

    ``fee_ppm`` millionths of each receipt go to this node on top of it.
    """

    request_id: str
    key_id: str
    model: str
    dialect: str
    streamed: bool
    at_ms: int
    charged: int = 0
    fee_ppm: int = 0
