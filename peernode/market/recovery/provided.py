"""Parts that this node provided to peers: how far each got, and the receipt for one that broke off.

Owns the provider's open jobs. While a part runs, the coordinator's acknowledgements are held against what was sent. A
part that broke off is signed for when its coordinator says what it has, or asks what there is; never before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from peernode.chat.errors import BadRequest, ProviderBusy
from peernode.chat.job_request import JobRequest
from peernode.engine import ModelFacts
from peernode.ledger import ReceiptRecord, ReceiptStore
from peernode.ledger.open_jobs import GIVEN_UP, OpenJob, OpenJobs, PartKey
from peernode.market.durably import durably
from peernode.market.patience import MOST_UNACKNOWLEDGED
from peernode.market.recovery.claims import Times, lost_receipt
from peernode.market.recovery.errors import NotWhatWasSent, StillRunning, UnknownPart
from peernode.market.recovery.extent import Extent, Trail
from peernode.market.recovery.terms import Terms
from peernode.wire.acknowledgement import SignedAcknowledgement, open_acknowledgement
from peernode.wire.countersignature import SignedCountersignature
from peernode.wire.errors import WireError
from peernode.wire.identity import Identity
from peernode.wire.offer import Offer
from peernode.wire.receipt import SignedReceipt, sign_receipt

log = structlog.get_logger(__name__)

# Parts whose trail is kept after they broke off; of older ones only what was acknowledged is known.
MAX_KEPT = 512
# A claim for a part that still runs here ends it, and waits so long for that.
STOP_S = 5.0


class ProvidedPart:
    """One part from its acceptance on. ``stop`` ends it early; ``over`` is set when its conversation has ended."""

    def __init__(self, terms: Terms, stop: Callable[[], None]) -> None:
        self.terms = terms
        self.key = PartKey("provided", terms.request_id, terms.part, terms.coordinator)
        self.trail = Trail()
        self.stop = stop
        self.over = trio.Event()
        self.first_token_ms = 0
        self.ended_ms = 0
        self.word: SignedAcknowledgement | None = None
        self.acknowledged = 0
        self.heard = trio.Event()

    def wake(self) -> None:
        """Whoever waits for an acknowledgement looks again."""
        self.heard.set()
        self.heard = trio.Event()


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of a part that is over: its trail, unless a crash took it; the coordinator's last word."""

    terms: Terms
    trail: Trail | None
    word: SignedAcknowledgement | None
    times: Times


class ProvidedParts:
    """All of them.

    ``on_broken`` is called with each part that ended without a countersignature, ``on_closed`` with each settled one.
    """

    def __init__(self, *, identity: Identity, store: ReceiptStore, clock_ms: Callable[[], int]) -> None:
        self.jobs = OpenJobs(store.database)
        self.on_broken: Callable[[PartKey], None] = lambda key: None
        self.on_closed: Callable[[PartKey], None] = lambda key: None
        self._identity = identity
        self._store = store
        self._clock_ms = clock_ms
        self._known: OrderedDict[PartKey, ProvidedPart] = OrderedDict()
        self._signing = trio.Lock()

    def begin(
        self, offer: Offer, request: JobRequest, facts: ModelFacts, offer_digest: bytes, stop: Callable[[], None]
    ) -> ProvidedPart:
        """An offer is taken; the record of it is written beside what follows. Raises ProviderBusy for an open one."""
        now_ms = self._clock_ms()
        terms = Terms.provided(offer, request, facts, offer_digest=offer_digest, accepted_ms=now_ms)
        part = ProvidedPart(terms, stop)
        if part.key in self._known:
            raise ProviderBusy("This part of the job is still open here.", cause="open part")
        self._known[part.key] = part
        self.jobs.open_soon(OpenJob(part.key, terms.to_bytes(), terms.max_credits, now_ms))
        return part

    def acknowledge(self, part: ProvidedPart, raw: bytes) -> None:
        """Take in the coordinator's word on a running part. Raises BadRequest when it is not of what was sent."""
        word = self._opened(raw, part.terms)
        if not part.trail.passed(Extent.acknowledged(word.body)):
            raise BadRequest("The acknowledgement is not of what was sent.", cause=f"{word.body.tokens} tokens")
        if word.body.tokens < part.acknowledged:
            raise BadRequest("The acknowledgement takes something back.")
        part.word, part.acknowledged = word, word.body.tokens
        self.jobs.acknowledge_soon(part.key, raw, now_ms=self._clock_ms())
        part.wake()

    def end(self, part: ProvidedPart, *, settled: bool) -> None:
        """The conversation is over: nothing more is due, or it broke off and waits for the coordinator's word."""
        part.ended_ms = self._clock_ms()
        part.over.set()
        if settled or not (part.trail.worth_something or part.terms.embeds):
            if self._known.pop(part.key, None) is not None:  # else the countersignature has closed it
                self.jobs.close_soon(part.key)
            return
        while len(self._known) > MAX_KEPT and (oldest := next(iter(self._known.values()))).over.is_set():
            del self._known[oldest.key]
        log.info("part_left_open", request_id=part.key.request_id, part=part.key.part, coordinator=part.key.peer)
        self.on_broken(part.key)

    def is_running(self, key: PartKey) -> bool:
        part = self._known.get(key)
        return part is not None and not part.over.is_set()

    async def held(self, key: PartKey) -> tuple[bytes, bytes]:
        """The receipt of a part as it stands here, and the last acknowledgement; each may be empty."""
        memory = await self._memory(key)
        open_ones = [record for record in await self._records(key) if record.countersignature is None]
        raw = open_ones[-1].receipt.raw if open_ones else b""
        return raw, memory.word.raw if memory and memory.word else b""

    async def receipt_for(self, key: PartKey, raw: bytes, *, exact: bool) -> tuple[SignedReceipt, bytes]:
        """The receipt for a part that is over, and the last acknowledgement that this node has of it.

        The one that exists, if it is for what the coordinator claims (``raw``, its acknowledgement); else one that is
        signed now. Raises StillRunning, NotWhatWasSent, BadRequest; UnknownPart when there is nothing to sign for.
        """
        await self._stop(key)
        async with self._signing:
            records = await self._records(key)
            for record in records:
                if record.countersignature is not None:
                    return record.receipt, b""
            memory = await self._memory(key)
            if memory is None:
                raise UnknownPart("There is no such part here.")
            word = self._opened(raw, memory.terms)
            last = memory.word if memory.word and memory.word.body.tokens > word.body.tokens else word
            extent = _extent(memory, Extent.acknowledged(last.body), exact=exact)
            for record in records:
                if not record.refused and _is_for(record.receipt, extent, exact=exact):
                    return record.receipt, last.raw
            if not extent.tokens or not extent.prompt_tokens:
                self.close(key)
                raise UnknownPart("Nothing was sent of that part.")
            return await self._sign(memory, extent), last.raw

    async def keep(self, receipt: SignedReceipt, made: SignedCountersignature) -> None:
        """Store a countersignature, which closes the part. Raises BadRequest if it is not of ``receipt``."""
        check_countersignature(made, receipt)
        await durably(self._store.add_countersignature_soon(made, now_ms=self._clock_ms()))
        body = receipt.receipt
        self._forget(PartKey("provided", body.request_id, body.part, body.coordinator))

    async def find(self, key: PartKey, digest: bytes) -> SignedReceipt | None:
        """The receipt of a part that a countersignature names."""
        found = (record.receipt for record in await self._records(key))
        return next((signed for signed in found if signed.digest == digest), None)

    def close(self, key: PartKey) -> None:
        """Nothing will be paid for it."""
        self.jobs.close_soon(key)
        self._forget(key)

    def give_up(self, key: PartKey, why: str) -> None:
        """Its coordinator did not come back in time: kept as a record."""
        self.jobs.give_up_soon(key, why, now_ms=self._clock_ms())
        self._forget(key)

    def _forget(self, key: PartKey) -> None:
        self._known.pop(key, None)
        self.on_closed(key)

    async def _stop(self, key: PartKey) -> None:
        part = self._known.get(key)
        if part is None or part.over.is_set():
            return
        part.stop()
        with trio.move_on_after(STOP_S):
            await part.over.wait()
        if not part.over.is_set():
            raise StillRunning("The part is still running.", remedy="Ask again in a while.")

    async def _memory(self, key: PartKey) -> Memory | None:
        part = self._known.get(key)
        if part is not None:
            times = Times(part.first_token_ms, part.ended_ms or self._clock_ms())
            return Memory(part.terms, part.trail, part.word, times)
        job = await trio.to_thread.run_sync(self.jobs.find, key)
        if job is None or job.state == GIVEN_UP:
            return None
        terms = Terms.from_bytes(job.terms)
        word = self._opened(job.acknowledgement, terms) if job.acknowledgement else None
        return Memory(terms, None, word, Times(0, job.changed_ms))

    async def _records(self, key: PartKey) -> list[ReceiptRecord]:
        found = await trio.to_thread.run_sync(self._store.find, key.request_id)
        return [
            record
            for record in found
            if record.part == key.part
            and record.receipt.receipt.coordinator == key.peer
            and record.receipt.receipt.provider == self._identity.peer_id
        ]

    async def _sign(self, memory: Memory, extent: Extent) -> SignedReceipt:
        def build(seq: int, previous: bytes) -> SignedReceipt:
            receipt = lost_receipt(memory.terms, extent, memory.times, seq=seq, previous=previous)
            return sign_receipt(receipt, self._identity)

        return await trio.to_thread.run_sync(lambda: self._store.append(build, now_ms=self._clock_ms()))

    def _opened(self, raw: bytes, terms: Terms) -> SignedAcknowledgement:
        try:
            word = open_acknowledgement(raw, network=terms.network)
        except WireError as err:
            raise BadRequest("The acknowledgement cannot be read.", cause=f"{err.code}: {err}") from err
        if not terms.is_of(word.body):
            raise BadRequest("The acknowledgement is of another part.")
        return word


def check_countersignature(made: SignedCountersignature, receipt: SignedReceipt) -> None:
    """Raises BadRequest unless it is the coordinator's word on this very receipt."""
    body, terms = made.countersignature, receipt.receipt
    wanted = (terms.network, terms.coordinator, terms.provider, receipt.digest)
    if (body.network, body.coordinator, body.provider, body.receipt_digest) != wanted:
        raise BadRequest("The countersignature is not for this receipt.")
    if body.cumulative < terms.credits:
        raise BadRequest("The countersigned total does not cover this receipt.", cause=str(body.cumulative))


def _extent(memory: Memory, claimed: Extent, *, exact: bool) -> Extent:
    """What is signed for: what is claimed; or, to a coordinator that lost its memory, what was sent, within bounds."""
    trail = memory.trail
    if trail is None:
        return claimed
    if claimed.tokens and not trail.passed(claimed):
        raise NotWhatWasSent("The acknowledgement is not of what was sent.", cause=f"{claimed.tokens} tokens")
    return claimed if exact else trail.within(claimed.tokens + MOST_UNACKNOWLEDGED)


def _is_for(signed: SignedReceipt, extent: Extent, *, exact: bool) -> bool:
    """Whether a receipt that was signed before will do."""
    billed = Extent.billed(signed.receipt)
    if billed == extent:
        return True
    return not exact and billed.tokens <= extent.tokens + MOST_UNACKNOWLEDGED and billed.tokens >= extent.tokens
