"""What a client hears when its key, its credit or a limit of its own stands in the way.

Codes are stable; the edge gives each its status.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from peernode.chat.errors import JobError

MICRO_DIGITS = 6


def credits_text(micro: int) -> str:
    """Micro-credits as a decimal number of credits, without an exponent."""
    return format(Decimal(micro).scaleb(-MICRO_DIGITS).normalize(), "f")


class KeyRefused(JobError):
    """Base of what is wrong with a key itself."""

    code = "invalid_key"


class MissingKey(KeyRefused):
    code = "missing_key"


class UnknownKey(KeyRefused):
    code = "invalid_key"


class RevokedKey(KeyRefused):
    code = "revoked_key"


class ExpiredKey(KeyRefused):
    code = "expired_key"


class NotAllowed(JobError):
    """Base of what a good key may not do."""

    code = "not_allowed"


class ModelNotAllowed(NotAllowed):
    code = "model_not_allowed"


class DialectNotAllowed(NotAllowed):
    code = "dialect_not_allowed"


class NotYours(NotAllowed):
    """A receipt, or what else belongs to a request, of another key."""

    code = "not_yours"


class InsufficientCredit(JobError):
    """The balance does not reach for the most that the request can cost. ``facts`` say how much is needed and there."""

    code = "insufficient_credit"

    def __init__(self, *, needed: int, available: int, remedy: str, retry_after_s: float | None = None) -> None:
        super().__init__(
            "The credit left does not reach for this request.",
            cause=f"it can cost up to {credits_text(needed)} credits, and {credits_text(max(available, 0))} are there",
            remedy=remedy,
        )
        self.facts: Mapping[str, object] = {
            "needed": float(credits_text(needed)),
            "available": float(credits_text(max(available, 0))),
        }
        self.retry_after_s = retry_after_s


class CapReached(JobError):
    """A key has spent what it may spend in a time. ``retry_after_s``: when the next begins."""

    code = "cap_reached"

    def __init__(self, sentence: str, *, retry_after_s: float, cause: str = "", remedy: str = "") -> None:
        super().__init__(sentence, cause=cause, remedy=remedy)
        self.retry_after_s: float | None = retry_after_s


class DayCapReached(CapReached):
    code = "day_cap_reached"


class MonthCapReached(CapReached):
    code = "month_cap_reached"


class AccountsUnavailable(JobError):
    """The ledger does not take a hold; nothing may be spent until it does."""

    code = "accounts_unavailable"
