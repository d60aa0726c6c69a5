"""Where the credit of a paid job comes from: a client's account in the ledger.

A failed job keeps nothing; after an answer what must stay for parts whose receipts may still come is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from peernode.chat.errors import JobError
from peernode.chat.fee_share import NO_FEE, FeeShare
from peernode.chat.job import ChatJob
from peernode.ledger.calendar import ms_to_next_day, ms_to_next_month
from peernode.ledger.client_records import ClientRequest
from peernode.ledger.errors import LedgerError
from peernode.ledger.keys import NoSuchKey
from peernode.ledger.spending import DAY_CAP, MONTH_CAP, Bounds, NotActive, Short, Spending
from peernode.market.client_accounts import refusal
from peernode.market.client_errors import (
    AccountsUnavailable,
    DayCapReached,
    InsufficientCredit,
    MonthCapReached,
    UnknownKey,
    credits_text,
)
from peernode.market.durably import durably

TOP_UP = "Have it topped up (`peernode keys topup`), or ask for fewer tokens."


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a paid job ended. ``failed``: without an answer, or with a broken one; nobody pays for that.

    ``cost`` is what its receipt says, or, where the client left first, what its tokens come to at those prices.
    """

    failed: bool
    cost: int = 0


class Purse(Protocol):
    """Whatever pays for a job."""

    async def hold(self, job: ChatJob, bounds: Bounds) -> int:
        """Set aside before the job is sent out; how much. Raises the JobError that the client is to hear."""
        ...

    async def end(self, job: ChatJob, held: int, outcome: Outcome) -> None:
        """Give back what is left."""
        ...


class LedgerPurse:
    """Pays from the account of the key that is the job's payer.

    ``kept(request_id)`` is what must stay held after an answer.
    """

    def __init__(
        self,
        spending: Spending,
        clock_ms: Callable[[], int],
        kept: Callable[[str], int] | None = None,
        fee: FeeShare = NO_FEE,
    ) -> None:
        self._spending = spending
        self._clock_ms = clock_ms
        self._kept = kept
        self._fee = fee

    async def hold(self, job: ChatJob, bounds: Bounds) -> int:
        now_ms = self._clock_ms()
        request = ClientRequest(
            job.request_id, job.payer, job.model, job.dialect, job.streamed, now_ms, fee_ppm=self._fee.ppm
        )
        try:
            return await durably(self._spending.begin_soon(request, bounds))
        except NotActive as err:
            raise refusal(err.state) from err
        except NoSuchKey as err:
            raise UnknownKey(err.sentence) from err
        except Short as err:
            raise _short(err, now_ms) from err
        except LedgerError as err:
            raise AccountsUnavailable("The accounts cannot be used now.", remedy="Try again in a while.") from err

    async def end(self, job: ChatJob, held: int, outcome: Outcome) -> None:
        """Receipts took what they cost from the hold already; those of broken parts may still come."""
        keep = self._kept(job.request_id) if self._kept is not None and not outcome.failed else 0
        await durably(self._spending.end_soon(job.request_id, now_ms=self._clock_ms(), keep=keep))


def release_forgotten(
    holds: Iterable[str], spending: Spending, *, kept: Callable[[str], int] | None, now_ms: int
) -> int:
    """At start: give back what is held beyond ``kept`` for requests of before. How many micro-credits that was."""
    return sum(
        spending.end(request_id, now_ms=now_ms, keep=kept(request_id) if kept is not None else 0)
        for request_id in holds
    )


def _short(err: Short, now_ms: int) -> JobError:
    if err.limit == DAY_CAP:
        return DayCapReached(
            "This key has spent what it may in a day.",
            retry_after_s=ms_to_next_day(now_ms) / 1000,
            cause=_left(err),
            remedy="The next day begins at midnight UTC; or have the cap raised (`peernode keys limit`).",
        )
    if err.limit == MONTH_CAP:
        return MonthCapReached(
            "This key has spent what it may in a month.",
            retry_after_s=ms_to_next_month(now_ms) / 1000,
            cause=_left(err),
            remedy="The next month begins at midnight UTC; or have the cap raised (`peernode keys limit`).",
        )
    return InsufficientCredit(needed=err.needed, available=err.available, remedy=TOP_UP)


def _left(err: Short) -> str:
    return f"this request can cost {credits_text(err.needed)} credits, and the cap leaves {credits_text(err.available)}"
