"""Parts that this node ordered from peers: what it acknowledged of each, and what it owes where one broke off.

Owns the coordinator's open jobs and its word on them, in conversations and after them. A receipt that comes late is
held against this, countersigned once, and closes its part.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio

from peernode.chat.errors import JobError, ReceiptRefused
from peernode.ledger import ReceiptConflict, ReceiptStore, Refusal
from peernode.ledger.open_jobs import BROKEN, GIVEN_UP, OpenJob, OpenJobs, PartKey
from peernode.market.delivery import Delivery
from peernode.market.durably import durably
from peernode.market.orders import Ordered
from peernode.market.recovery.claims import Claim, check_claimed
from peernode.market.recovery.errors import StillRunning, UnknownPart
from peernode.market.recovery.extent import Extent
from peernode.market.recovery.terms import Terms
from peernode.wire.acknowledgement import (
    Acknowledgement,
    SignedAcknowledgement,
    open_acknowledgement,
    sign_acknowledgement,
)
from peernode.wire.countersignature import Countersignature, SignedCountersignature, sign_countersignature
from peernode.wire.errors import WireError
from peernode.wire.identity import Identity
from peernode.wire.receipt import SignedReceipt, ids_digest, open_receipt, text_digest

log = structlog.get_logger(__name__)


class OrderedPart:
    """One part while its conversation lasts."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.key = PartKey("ordered", terms.request_id, terms.part, terms.provider)
        self.acknowledged = 0


class OrderedParts:
    """All of them. ``took(provider, total)`` is called with each new total that this node countersigned, and
    ``refused(provider, error, request_id)`` with each late receipt that is not for what is owed.

    ``on_broken`` is called with each part that broke off and is owed for, ``on_closed`` with each part that is settled.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        store: ReceiptStore,
        clock_ms: Callable[[], int],
        took: Callable[[str, int], None] = lambda provider, total: None,
        refused: Callable[[str, JobError, str], None] = lambda provider, error, request_id: None,
    ) -> None:
        self.jobs = OpenJobs(store.database)
        self.live: dict[PartKey, OrderedPart] = {}
        self.on_broken: Callable[[PartKey], None] = lambda key: None
        self.on_closed: Callable[[PartKey], None] = lambda key: None
        self._took = took
        self._refused = refused
        # The most that each open part may still cost, by request.
        self._owed: dict[str, dict[PartKey, int]] = {}
        for job in self.jobs.all():
            if job.key.side == "ordered" and job.credits:
                self._owe(job.key, job.credits)
        self._identity = identity
        self._store = store
        self._clock_ms = clock_ms

    def begin(self, ordered: Ordered, offer_digest: bytes) -> OrderedPart:
        """A provider took the order. The record of it is written beside what follows, and nobody waits for it."""
        now_ms = self._clock_ms()
        terms = Terms.ordered(
            ordered.offer, ordered.request, ordered.card, offer_digest=offer_digest, accepted_ms=now_ms
        )
        part = OrderedPart(terms)
        self.live[part.key] = part
        self._owe(part.key, terms.max_credits)
        self.jobs.open_soon(OpenJob(part.key, terms.to_bytes(), terms.max_credits, now_ms))
        return part

    def acknowledge(self, part: OrderedPart, delivery: Delivery) -> SignedAcknowledgement:
        """This node's word on what has come so far."""
        part.acknowledged = len(delivery.ids)
        return self._sign(part.terms, _extent(delivery))

    def end(self, part: OrderedPart, delivery: Delivery, *, paid: bool, refused: bool = False) -> None:
        """The conversation is over: paid for, refused, or broken off with what was delivered."""
        self.live.pop(part.key, None)
        if paid:
            self._forget(part.key)
            return
        extent = _extent(delivery)
        whole = part.terms.embeds and delivery.reason == "stop"
        if refused or extent.prompt_tokens == 0 or not (extent.tokens or whole):
            self.close(part.key)
            return
        word = self._sign(part.terms, extent)
        owed = part.terms.owed(
            prompt_tokens=extent.prompt_tokens, cached_tokens=extent.cached_tokens, tokens=extent.tokens, whole=whole
        )
        owed = min(owed, part.terms.max_credits)
        self._owe(part.key, owed)
        self.jobs.break_soon(part.key, word.raw, owed, now_ms=self._clock_ms())
        log.info("part_broke_off", request_id=part.key.request_id, part=part.key.part, provider=part.key.peer)
        self.on_broken(part.key)

    def pending_credits(self, request_id: str) -> int:
        """The most that open parts of a request may still cost: what has to stay held for it."""
        return sum(self._owed.get(request_id, {}).values())

    def close(self, key: PartKey) -> None:
        """Nothing is owed for it any more."""
        self.jobs.close_soon(key)
        self._forget(key)

    def give_up(self, key: PartKey, why: str) -> None:
        """Nobody came for it in time: kept as a record, and nothing is held for it any more."""
        self.jobs.give_up_soon(key, why, now_ms=self._clock_ms())
        self._forget(key)

    async def claim_of(self, key: PartKey) -> tuple[SignedAcknowledgement, bool]:
        """This node's last word on a part that is over, and whether that is all it has.

        Raises StillRunning, or UnknownPart when nothing is owed.
        """
        job, terms = await self._find(key)
        if job.acknowledgement:
            return open_acknowledgement(job.acknowledgement, network=terms.network), job.state == BROKEN
        return self._sign(terms, _NOTHING), False

    async def paid(self, key: PartKey) -> SignedCountersignature | None:
        """The countersignature of a part that is settled."""
        found = await trio.to_thread.run_sync(self._store.find, key.request_id)
        for record in found:
            if record.part == key.part and record.receipt.receipt.provider == key.peer and record.countersignature:
                return record.countersignature
        return None

    async def fits(self, raw: bytes, key: PartKey, provider_holds: bytes = b"") -> bool:
        """Whether a receipt is for what this node owes. Raises StillRunning or UnknownPart."""
        try:
            await self._check(_opened(raw), key, provider_holds)
        except ReceiptRefused:
            return False
        return True

    async def take(self, raw: bytes, key: PartKey, provider_holds: bytes = b"") -> SignedCountersignature:
        """Countersign a late receipt.

        ``provider_holds`` is the last acknowledgement that the provider has, if any: after a crash it may know this
        node's word better. Raises ReceiptRefused (recorded), StillRunning or UnknownPart.
        """
        signed: SignedReceipt | None = None
        try:
            signed = receipt = _opened(raw)
            await self._check(receipt, key, provider_holds)
            made = await self.countersign(receipt)
            self._forget(key)
        except (ReceiptRefused, ReceiptConflict) as err:
            refused = err if isinstance(err, ReceiptRefused) else ReceiptRefused(err.sentence)
            await self._refuse(raw, signed, key, refused)
            raise refused from err
        log.info("part_settled", request_id=key.request_id, part=key.part, credits=receipt.receipt.credits)
        return made

    async def countersign(self, signed: SignedReceipt) -> SignedCountersignature:
        """Take on what a checked receipt says, durable when this returns; its part closes in the same transaction.

        Raises ReceiptConflict.
        """
        now_ms = self._clock_ms()
        receipt = signed.receipt

        def build(cumulative: int) -> SignedCountersignature:
            body = Countersignature(
                receipt.network, receipt.coordinator, receipt.provider, signed.digest, cumulative, now_ms
            )
            return sign_countersignature(body, self._identity)

        made = await durably(self._store.countersign_soon(signed, build, now_ms=now_ms))
        self._took(receipt.provider, made.countersignature.cumulative)
        # Settled: whoever asks now what may still come to be owed must not count it.
        self._forget(PartKey("ordered", receipt.request_id, receipt.part, receipt.provider))
        return made

    async def _check(self, signed: SignedReceipt, key: PartKey, provider_holds: bytes) -> None:
        job, terms = await self._find(key)
        check_claimed(signed.receipt, terms, self._claim(job, terms, provider_holds))

    async def _find(self, key: PartKey) -> tuple[OpenJob, Terms]:
        if key in self.live:
            raise StillRunning("The part is still running.", remedy="Ask again in a while.")
        job = await trio.to_thread.run_sync(self.jobs.find, key)
        if job is None or job.state == GIVEN_UP:
            raise UnknownPart("Nothing is owed for that part.", cause="given up" if job else "")
        return job, Terms.from_bytes(job.terms)

    def _claim(self, job: OpenJob, terms: Terms, provider_holds: bytes) -> Claim:
        words = []
        for raw in (job.acknowledgement, provider_holds):
            if not raw:
                continue
            try:
                word = open_acknowledgement(raw, network=terms.network).body
            except WireError as err:
                raise ReceiptRefused("The acknowledgement cannot be read.", cause=str(err)) from err
            if not terms.is_of(word):
                raise ReceiptRefused("The acknowledgement is of another part.")
            words.append(word)
        if job.state == BROKEN:
            return Claim(Extent.acknowledged(words[0]), exact=True)
        last = max(words, key=lambda word: word.tokens, default=None)
        return Claim(Extent.acknowledged(last) if last else _NOTHING, exact=False)

    async def _refuse(self, raw: bytes, signed: SignedReceipt | None, key: PartKey, err: ReceiptRefused) -> None:
        reason = err.cause or err.sentence
        log.warning("late_receipt_refused", request_id=key.request_id, part=key.part, provider=key.peer, reason=reason)
        refusal = Refusal(key.request_id, key.part, key.peer, raw, err.code, reason, self._clock_ms())
        about = signed if signed and signed.receipt.request_id == key.request_id else None
        await trio.to_thread.run_sync(lambda: self._store.refuse(refusal, signed=about))
        self._refused(key.peer, err, key.request_id)
        self.close(key)  # whoever bills what was not sent is owed nothing

    def _owe(self, key: PartKey, most: int) -> None:
        self._owed.setdefault(key.request_id, {})[key] = most

    def _forget(self, key: PartKey) -> None:
        owed = self._owed.get(key.request_id)
        if owed is not None:
            owed.pop(key, None)
            if not owed:
                del self._owed[key.request_id]
        self.on_closed(key)

    def _sign(self, terms: Terms, extent: Extent) -> SignedAcknowledgement:
        body = Acknowledgement(
            network=terms.network,
            request_id=terms.request_id,
            part=terms.part,
            coordinator=terms.coordinator,
            provider=terms.provider,
            offer_digest=terms.offer_digest,
            prompt_tokens=extent.prompt_tokens,
            cached_tokens=extent.cached_tokens,
            tokens=extent.tokens,
            ids_digest=extent.ids_digest,
            text_digest=extent.text_digest,
            at_ms=self._clock_ms(),
        )
        return sign_acknowledgement(body, self._identity)


_NOTHING = Extent(0, 0, 0, ids_digest(()), text_digest(""))


def _extent(delivery: Delivery) -> Extent:
    prompt_tokens, cached_tokens = delivery.prompt
    text = text_digest("".join(delivery.pieces))
    return Extent(prompt_tokens, cached_tokens, len(delivery.ids), ids_digest(delivery.ids), text)


def _opened(raw: bytes) -> SignedReceipt:
    try:
        return open_receipt(raw)
    except WireError as err:
        raise ReceiptRefused("The receipt cannot be read.", cause=f"{err.code}: {err}") from err
