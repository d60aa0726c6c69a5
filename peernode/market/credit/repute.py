"""What providers did to this node as their coordinator: who billed falsely and is avoided, who gives no more credit.

False receipts are marked in the ledger and avoided for longer with each, over restarts too. Having no credit somewhere
is nobody's fault; it is shown to the operator, who can settle, and forgotten with the next job that is taken there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from peernode.chat.errors import JobError, NoReceipt, ProviderBusy, ReceiptRefused
from peernode.ledger.line_records import Mark
from peernode.market.credit.gate import CREDIT

log = structlog.get_logger(__name__)

FALSE_RECEIPT = "false_receipt"
# Avoided so long after the first false receipt, twice as long after each further one, and never longer than a day.
FIRST_AVOIDED_MS = 600_000
MOST_AVOIDED_MS = 86_400_000
# False receipts that are older count no more.
REMEMBERED_MS = 7 * 86_400_000
MAX_REFUSALS = 4096
# Whoever gives no more credit is not asked again so soon, unless something was settled.
ASK_AGAIN_MS = 60_000


class MarkLedger(Protocol):
    """What is needed of the ledger; see ``ledger.lines``."""

    def marks(self, *, since_ms: int = 0, limit: int = 1000) -> Sequence[Mark]: ...
    def soon_mark(self, mark: Mark) -> None: ...


class ProviderRepute(Protocol):
    """What the router asks and tells of each provider."""

    def failed(self, peer: str, error: JobError, request_id: str) -> None: ...
    def served(self, peer: str) -> None: ...
    def avoided(self, peer: str) -> str: ...


class NoRepute:
    """Nobody is remembered for anything."""

    def failed(self, peer: str, error: JobError, request_id: str) -> None:
        pass

    def served(self, peer: str) -> None:
        pass

    def avoided(self, peer: str) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class NoCredit:
    """A provider said that this node has no more credit there."""

    reason: str
    at_ms: int


class Repute:
    """Hears how each job with each provider went. ``avoided`` is asked by the router."""

    def __init__(self, *, ledger: MarkLedger, clock_ms: Callable[[], int]) -> None:
        self._ledger = ledger
        self._clock_ms = clock_ms
        self._false: dict[str, list[int]] = {}
        self.no_credit: dict[str, NoCredit] = {}
        for mark in reversed(ledger.marks(since_ms=clock_ms() - REMEMBERED_MS)):
            if mark.kind == FALSE_RECEIPT:
                self._false.setdefault(mark.peer, []).append(mark.at_ms)

    def failed(self, peer: str, error: JobError, request_id: str) -> None:
        """A job with ``peer`` ended with ``error``."""
        now_ms = self._clock_ms()
        if isinstance(error, ProviderBusy) and error.cause.startswith(CREDIT):
            if len(self.no_credit) < MAX_REFUSALS or peer in self.no_credit:
                self.no_credit[peer] = NoCredit(error.cause, now_ms)
            log.warning("no_credit_left", provider=peer, reason=error.cause, remedy="Settle with its operator.")
        elif isinstance(error, ReceiptRefused) and not isinstance(error, NoReceipt) and error.cause:
            # Without a cause nothing was wrong with the receipt itself: its part was paid for already.
            self._false.setdefault(peer, []).append(now_ms)
            self._ledger.soon_mark(Mark(peer, FALSE_RECEIPT, error.cause or error.sentence, request_id, now_ms))
            log.warning("provider_avoided", provider=peer, for_s=self._left_ms(peer, now_ms) // 1000)

    def served(self, peer: str) -> None:
        """A job with ``peer`` ended with a true receipt."""
        self.no_credit.pop(peer, None)

    def settled(self, peer: str) -> None:
        """``peer`` says that this node settled with it: it may be asked again."""
        self.no_credit.pop(peer, None)

    def bills_falsely(self, peer: str) -> bool:
        """Whether it is avoided for that now."""
        return peer in self._false and self._left_ms(peer, self._clock_ms()) > 0

    def avoided(self, peer: str) -> str:
        """Why no job is to be sent to ``peer`` now; empty when one may."""
        now_ms = self._clock_ms()
        refused = self.no_credit.get(peer)
        if refused is not None and now_ms - refused.at_ms < ASK_AGAIN_MS:
            return f"gives no more credit ({refused.reason})"
        left_ms = self._left_ms(peer, now_ms) if peer in self._false else 0
        return f"billed falsely, avoided for {-(-left_ms // 60_000)} min more" if left_ms > 0 else ""

    def _left_ms(self, peer: str, now_ms: int) -> int:
        times = [at_ms for at_ms in self._false[peer] if at_ms > now_ms - REMEMBERED_MS]
        if not times:
            return 0
        return times[-1] + min(FIRST_AVOIDED_MS << (len(times) - 1), MOST_AVOIDED_MS) - now_ms
