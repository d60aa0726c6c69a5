"""Lines of credit to all peers: who may have how much service before paying, and what keeps them from it.

Everything is in memory for the decision, which no job waits for; what must survive goes to the ledger through
``LineLedger``. Rules: one line for each peer (``line``), one cap over all that nobody earned, no service for who was
asked for a countersignature and withheld it, until it comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from peernode.chat.errors import ProviderBusy
from peernode.chat.job_request import JobRequest
from peernode.ledger.line_records import Earned, Mark, Totals, UnsignedJob
from peernode.market.credit.gate import CREDIT, CreditHold, NoLimits
from peernode.market.credit.hold import Hold, Unsigned
from peernode.market.credit.line import Position, Terms, beyond_earned, earned_now, limit_of
from peernode.wire.countersignature import SignedCountersignature
from peernode.wire.offer import Offer
from peernode.wire.receipt import SignedReceipt

log = structlog.get_logger(__name__)

NOTHING = Position()
# Jobs that broke off unsigned are forgiven up to this part of what a peer settled and served: networks do break.
FORGIVEN_PART = 16
# Shares of the newcomers' cap are reckoned anew this often; credit that was earned fades slowly.
RECKON_MS = 60_000
WITHHELD, SHORT_VOUCHER = "withheld", "short_voucher"


class LineLedger(Protocol):
    """What the lines need of the ledger; see ``ledger.lines``."""

    def totals(self) -> Sequence[Totals]: ...
    def earned(self) -> Sequence[Earned]: ...
    def service_of(self, peer: str) -> Sequence[tuple[int, int]]: ...
    def unsigned(self) -> Sequence[UnsignedJob]: ...
    def soon_keep(self, earned: Earned) -> None: ...
    def soon_leave_unsigned(self, job: UnsignedJob) -> None: ...
    def soon_sign(self, peer: str, request_id: str, part: int) -> None: ...
    def soon_mark(self, mark: Mark) -> None: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """One peer's line as its operator sees it. ``limit`` None: without limit. ``closed``: why nothing more is given."""

    peer: str
    position: Position
    held: int
    unsigned: int
    earned: int
    limit: int | None
    closed: str


class CreditLines:
    """The CreditGate of a node. To be used from one thread."""

    def __init__(self, *, own: str, terms: Terms, ledger: LineLedger, clock_ms: Callable[[], int]) -> None:
        self.terms = terms
        self._own = own
        self._ledger = ledger
        self._clock_ms = clock_ms
        self._positions: dict[str, Position] = {}
        self._held: Counter[str] = Counter()
        # Request ids are chosen by coordinators, who may choose the same.
        self._running: dict[tuple[str, str, int], Hold] = {}
        self._unsigned: dict[str, dict[tuple[str, int], UnsignedJob]] = {}
        self._beyond: dict[str, int] = {}
        self._beyond_all = 0
        self._reckoned_ms = 0
        self._remember()

    def _remember(self) -> None:
        known = {each.peer: each for each in self._ledger.earned()}
        for totals in self._ledger.totals():
            self._positions[totals.peer] = self._restored(totals, known.get(totals.peer))
        for job in self._ledger.unsigned():
            self._unsigned.setdefault(job.peer, {})[job.request_id, job.part] = job
        self._reckon_all()

    def _restored(self, totals: Totals, kept: Earned | None) -> Position:
        """What was earned, as kept, and what came after that; from the vouchers themselves when nothing was kept."""
        now_ms, bare = self._clock_ms(), Position(given=totals.given, repaid=totals.repaid)
        if kept is None:
            position = bare
            for cumulative, at_ms in self._ledger.service_of(totals.peer):
                position = position.took(cumulative, at_ms, self.terms)
            return position.was_paid(totals.paid, now_ms, self.terms)
        position = Position(
            totals.given,
            totals.taken,
            totals.paid,
            totals.repaid,
            min(kept.earned, self.terms.peer_cap),
            kept.earned_ms,
            kept.active_ms,
        )
        missing = totals.taken + totals.paid - kept.counted
        return position.earning(missing, now_ms, self.terms) if missing > 0 else position

    # The provider's side.

    def check(self, offer: Offer, request: JobRequest, context_length: int) -> None:
        if offer.coordinator != self._own:
            self._check(Hold(self, offer, request, context_length))

    def _check(self, hold: Hold) -> None:
        refusal = self.refusal(hold.peer, hold.need)
        if refusal:
            log.info("credit_refused", coordinator=hold.peer, request_id=hold.request_id, reason=refusal)
            raise ProviderBusy("This node gives no more credit.", cause=f"{CREDIT}: {refusal}")

    def reserve(self, offer: Offer, request: JobRequest, context_length: int) -> CreditHold:
        if offer.coordinator == self._own:
            return NoLimits().reserve(offer, request, context_length)
        hold = Hold(self, offer, request, context_length)
        if hold.key in self._running or (hold.request_id, hold.part) in self._unsigned.get(hold.peer, {}):
            raise ProviderBusy("This part of the request was asked for here before.", cause="the same part again")
        self._check(hold)
        hold.began_ms = self._clock_ms()
        self._running[hold.key] = hold
        return hold

    def refusal(self, peer: str, more: int) -> str:
        """Why ``peer`` may not have service for ``more`` now; empty when it may."""
        now_ms, position = self._clock_ms(), self._positions.get(peer, NOTHING)
        limit = limit_of(peer, position, now_ms, self.terms)
        if limit is None:
            return ""
        if withheld := self._withheld(peer):
            return f"the countersignature of {withheld.request_id} part {withheld.part} is missing"
        held = self._held[peer] + self._lost(peer)
        if position.balance + held + more > limit:
            return f"{position.balance} owed, {held} held, {more} for this, of a line of {limit} micro-credits"
        before = beyond_earned(peer, position, held, now_ms, self.terms)
        after = beyond_earned(peer, position, held + more, now_ms, self.terms)
        if after > before and self._all_beyond(now_ms) - self._beyond.get(peer, 0) + after > self.terms.newcomers_cap:
            return f"newcomers together owe what they may, {self.terms.newcomers_cap} micro-credits"
        return ""

    def change(self, peer: str, by: int, *, forced: bool = False) -> bool:
        """See ``Purse``."""
        if by > 0 and not forced and self.refusal(peer, by):
            return False
        self._held[peer] += by
        if not self._held[peer]:
            del self._held[peer]
        self._reckon(peer)
        return True

    def end(self, hold: Hold, unsigned: Unsigned | None) -> None:
        """See ``Purse``."""
        if self._running.get(hold.key) is hold:
            del self._running[hold.key]
        if unsigned is None:
            return
        job = UnsignedJob(
            hold.request_id, hold.part, hold.peer, unsigned.credits, unsigned.withheld, unsigned.reason, hold.began_ms
        )
        self._unsigned.setdefault(hold.peer, {})[hold.request_id, hold.part] = job
        self._ledger.soon_leave_unsigned(job)
        self._reckon(hold.peer)
        log.warning("job_not_signed_for", coordinator=hold.peer, request_id=hold.request_id, reason=unsigned.reason)
        if unsigned.withheld:
            self._ledger.soon_mark(Mark(hold.peer, WITHHELD, unsigned.reason, hold.request_id, self._clock_ms()))

    def countersigned(self, receipt: SignedReceipt, made: SignedCountersignature) -> None:
        body, peer = receipt.receipt, made.countersignature.coordinator
        if peer == self._own:
            return
        if (hold := self._running.get((peer, body.request_id, body.part))) is not None:
            hold.signed = True
            hold.billed(0)  # it is in the voucher now
        job = self._unsigned.get(peer, {}).get((body.request_id, body.part))
        if job is not None and body.accepted_ms >= job.at_ms:  # and no receipt of an earlier job of the same name
            self._forget(peer, body.request_id, body.part)
        self._positions[peer] = self._of(peer).gave(made.countersignature.cumulative, self._clock_ms())
        self._keep(peer)

    def refused(self, receipt: SignedReceipt) -> None:
        body = receipt.receipt
        if (hold := self._running.get((body.coordinator, body.request_id, body.part))) is not None:
            hold.refused = True

    def short_voucher(self, receipt: SignedReceipt, made: SignedCountersignature) -> None:
        peer, total = made.countersignature.coordinator, made.countersignature.cumulative
        reason = f"a voucher over {total} micro-credits is less than what it signed for before"
        log.warning("short_voucher", coordinator=peer, request_id=receipt.receipt.request_id, cumulative=total)
        self._ledger.soon_mark(Mark(peer, SHORT_VOUCHER, reason, receipt.receipt.request_id, self._clock_ms()))

    # The coordinator's side, and settlements.

    def took(self, provider: str, cumulative: int) -> None:
        """This node countersigned: it owes ``provider`` so much in all."""
        if provider != self._own:
            self._positions[provider] = self._of(provider).took(cumulative, self._clock_ms(), self.terms)
            self._keep(provider)

    def was_paid(self, debtor: str, settled: int) -> None:
        """This node signed a settlement note for so much in all: what came before is not held against the debtor."""
        for request_id, part in list(self._unsigned.get(debtor, {})):
            self._forget(debtor, request_id, part)
        self._positions[debtor] = self._of(debtor).was_paid(settled, self._clock_ms(), self.terms)
        self._keep(debtor)

    def has_repaid(self, creditor: str, settled: int) -> None:
        """A settlement note over so much in all came from ``creditor``."""
        self._positions[creditor] = self._of(creditor).has_repaid(settled, self._clock_ms())
        self._keep(creditor)

    def standing(self, peer: str) -> Standing:
        now_ms, position = self._clock_ms(), self._of(peer)
        withheld = self._withheld(peer)
        return Standing(
            peer,
            position,
            self._held[peer],
            sum(job.credits for job in self._unsigned.get(peer, {}).values()),
            earned_now(position, now_ms, self.terms),
            limit_of(peer, position, now_ms, self.terms),
            self.refusal(peer, 1) if withheld is None else f"{withheld.reason} ({withheld.request_id})",
        )

    def standings(self) -> list[Standing]:
        """Of every peer with whom there is or was anything, or of whom the operator said something."""
        known = self._positions.keys() | self._held.keys() | self._unsigned.keys() | self.terms.own_limits.keys()
        return [self.standing(peer) for peer in sorted(known)]

    def newcomers_owe(self) -> int:
        """What of ``newcomers_cap`` is used."""
        return self._all_beyond(self._clock_ms())

    def _of(self, peer: str) -> Position:
        return self._positions.get(peer, NOTHING)

    def _keep(self, peer: str) -> None:
        position = self._positions[peer]
        counted = position.taken + position.paid
        self._ledger.soon_keep(Earned(peer, position.earned, position.earned_ms, counted, position.active_ms))
        self._reckon(peer)

    def _forget(self, peer: str, request_id: str, part: int) -> None:
        """This job is unsigned no more."""
        jobs = self._unsigned.get(peer, {})
        if jobs.pop((request_id, part), None) is None:
            return
        if not jobs:
            del self._unsigned[peer]
        self._ledger.soon_sign(peer, request_id, part)
        log.info("job_signed_for_after_all", coordinator=peer, request_id=request_id)

    def _withheld(self, peer: str) -> UnsignedJob | None:
        return next((job for job in self._unsigned.get(peer, {}).values() if job.withheld), None)

    def _lost(self, peer: str) -> int:
        """Unsigned jobs that count against the line."""
        jobs = self._unsigned.get(peer)
        if not jobs:
            return 0
        position = self._of(peer)
        forgiven = (position.paid + position.taken) // FORGIVEN_PART
        withheld = sum(job.credits for job in jobs.values() if job.withheld)
        return withheld + max(sum(job.credits for job in jobs.values()) - withheld - forgiven, 0)

    def _reckon(self, peer: str) -> None:
        held = self._held[peer] + self._lost(peer)
        beyond = beyond_earned(peer, self._of(peer), held, self._clock_ms(), self.terms)
        self._beyond_all += beyond - self._beyond.pop(peer, 0)
        if beyond:
            self._beyond[peer] = beyond

    def _all_beyond(self, now_ms: int) -> int:
        if now_ms - self._reckoned_ms >= RECKON_MS:
            self._reckon_all()
        return self._beyond_all

    def _reckon_all(self) -> None:
        self._reckoned_ms = self._clock_ms()
        for peer in {*self._positions, *self._held, *self._unsigned}:
            self._reckon(peer)
