"""The provider's side of job conversations: one handler for the protocol ``/peernode/job/1``."""

from __future__ import annotations

import math
from collections.abc import Callable

import structlog
import trio

from peernode.chat.errors import BadRequest, JobError, ProviderBusy, ProviderFailed
from peernode.chat.events import Failed, Finished, Receipted, Started, Tokens
from peernode.ledger import ReceiptStore, Refusal
from peernode.ledger.errors import VoucherTooLow
from peernode.market.batching import TokenBatch
from peernode.market.patience import COUNTERSIGN_S, OFFER_S
from peernode.market.provider import Provider, Work
from peernode.market.talk import Talk
from peernode.mesh import FrameStream
from peernode.wire.countersignature import SignedCountersignature, open_countersignature
from peernode.wire.errors import WireError
from peernode.wire.job_frames import (
    AcceptFrame,
    BusyFrame,
    CancelFrame,
    CountersignFrame,
    EndFrame,
    ErrorFrame,
    FinishedFrame,
    JobFrame,
    OfferFrame,
    ReceiptFrame,
    TokensFrame,
)
from peernode.wire.offer import Offer, open_offer
from peernode.wire.receipt import SignedReceipt

log = structlog.get_logger(__name__)


class JobService:
    """Answers offers from peers with this node's provider."""

    def __init__(self, *, provider: Provider, store: ReceiptStore, clock_ms: Callable[[], int]) -> None:
        self._provider = provider
        self._store = store
        self._clock_ms = clock_ms

    async def handle(self, stream: FrameStream) -> None:
        """One conversation, from its offer to its end."""
        talk = Talk(stream, speaker="provider")
        try:
            offer = await self._receive_offer(talk)
            with structlog.contextvars.bound_contextvars(request_id=offer.request_id, coordinator=offer.coordinator):
                await self._answer(talk, offer)
        except (JobError, WireError) as err:
            log.info("job_conversation_ended", peer=stream.peer_id, code=err.code, reason=str(err))
            await talk.fail(err)

    async def _receive_offer(self, talk: Talk) -> Offer:
        frame = await talk.receive(OFFER_S)
        assert isinstance(frame, OfferFrame)  # the conversation lets nothing else come first
        offer = open_offer(frame.raw, network=self._provider.network)
        if offer.coordinator != talk.peer_id:
            raise BadRequest("The offer was signed by somebody else than who brought it.", cause=offer.coordinator)
        return offer

    async def _answer(self, talk: Talk, offer: Offer) -> None:
        try:
            model, request = self._provider.consider(offer)
        except ProviderBusy as err:
            await self._busy(talk, err)
            return
        async with self._provider.work(offer, model, request) as work:
            match await anext(work):
                case Failed(error=ProviderBusy() as busy):
                    await self._busy(talk, busy)
                    return
                case Failed(error=error):
                    raise error
                case Started(markup=markup):
                    await talk.send(AcceptFrame(work.model_id, markup))
                case Tokens() | Finished() | Receipted():
                    raise AssertionError("an engine's stream opens with Started or Failed")
            await _Serving(talk, work, offer).run()
            receipt = await work.sign()
            await self._settle(talk, receipt)

    async def _busy(self, talk: Talk, err: ProviderBusy) -> None:
        free_slots, queued = self._provider.room()
        await talk.send(BusyFrame(err.cause or err.sentence, free_slots, queued))

    async def _settle(self, talk: Talk, receipt: SignedReceipt) -> None:
        await talk.send(ReceiptFrame(receipt.raw))
        frame: JobFrame = CancelFrame()
        while isinstance(frame, CancelFrame):  # a cancel may have crossed the end of the answer
            frame = await talk.receive(COUNTERSIGN_S)
        if isinstance(frame, ErrorFrame):
            await self._note_refusal(receipt, frame)
            return
        assert isinstance(frame, CountersignFrame)  # nothing else is in turn
        made = open_countersignature(frame.raw)
        _check_countersignature(made, receipt)
        await self._keep(made, receipt)
        await talk.send(EndFrame())
        log.info("job_served", tokens=receipt.receipt.completion_tokens, credits=receipt.receipt.credits)

    async def _keep(self, made: SignedCountersignature, receipt: SignedReceipt) -> None:
        """Raises BadRequest for a total that is less than what its signer owes."""
        credit = self._provider.credit
        try:
            await trio.to_thread.run_sync(lambda: self._store.add_countersignature(made, now_ms=self._clock_ms()))
        except VoucherTooLow as err:
            credit.short_voucher(receipt, made)
            raise BadRequest(err.sentence, cause=err.cause) from err
        credit.countersigned(receipt, made)

    async def _note_refusal(self, receipt: SignedReceipt, frame: ErrorFrame) -> None:
        log.warning("own_receipt_refused", code=frame.code, reason=frame.sentence)
        body = receipt.receipt
        refusal = Refusal(
            body.request_id, body.part, body.provider, receipt.raw, frame.code, frame.sentence, self._clock_ms()
        )
        await trio.to_thread.run_sync(lambda: self._store.refuse(refusal, signed=receipt))


class _Serving:
    """The answer's way out: tokens to the peer, cancels in, until the answer is finished."""

    def __init__(self, talk: Talk, work: Work, offer: Offer) -> None:
        self._talk = talk
        self._work = work
        self._deadline_s = offer.deadline_ms / 1000
        self._batch = TokenBatch()
        self._waiting = trio.Event()
        self._sending = trio.Lock()
        self._gone = False

    async def run(self) -> None:
        """Returns when the answer is finished and said so. Raises the engine's JobError."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            nursery.start_soon(self._stop_at_deadline)
            nursery.start_soon(self._flush_when_due)
            end = await self._send_tokens()
            nursery.cancel_scope.cancel()
        if isinstance(end, Failed):
            raise end.error
        usage = end.usage
        await self._tell(FinishedFrame(end.reason, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens))

    async def _listen(self) -> None:
        """A cancel, or the peer's disappearance, stops the sequence."""
        try:
            while True:
                frame = await self._talk.receive(math.inf)
                if isinstance(frame, (CancelFrame, ErrorFrame)):
                    self._work.cancel()
        except ProviderFailed as err:
            log.info("coordinator_left", reason=err.cause)
            self._leave()

    async def _stop_at_deadline(self) -> None:
        await trio.sleep(self._deadline_s)
        self._work.cancel()

    async def _send_tokens(self) -> Finished | Failed:
        async for event in self._work:
            if isinstance(event, Tokens):
                now = trio.current_time()
                self._batch.add(event, now=now)
                if now >= self._batch.due:
                    await self._flush()
                else:
                    self._waiting.set()
            elif isinstance(event, (Finished, Failed)):
                await self._flush()
                return event
        raise AssertionError("an engine's stream stopped without its end")

    async def _flush_when_due(self) -> None:
        """Send what nothing else sends: one timer for a batch, where waiting for the engine would need one a token."""
        while True:
            due = self._batch.due
            if due == math.inf:
                self._waiting = trio.Event()
                await self._waiting.wait()
            elif due > trio.current_time():
                await trio.sleep_until(due)
            else:
                await self._flush()

    async def _flush(self) -> None:
        # Not one of two may be cancelled in the middle of a frame, or overtake the other.
        try:
            self._sending.acquire_nowait()
        except trio.WouldBlock:
            await self._sending.acquire()
        try:
            tokens = self._batch.take(now=trio.current_time())
            if tokens is not None:
                await self._tell(TokensFrame(tokens.ids, tokens.text, tokens.logprobs))
        finally:
            self._sending.release()

    async def _tell(self, frame: JobFrame) -> None:
        if self._gone:
            return
        try:
            await self._talk.send(frame)
        except ProviderFailed as err:
            log.info("coordinator_gone", reason=err.cause)
            self._leave()

    def _leave(self) -> None:
        self._gone = True
        self._work.cancel()


def _check_countersignature(made: SignedCountersignature, receipt: SignedReceipt) -> None:
    """Raises BadRequest unless it is the coordinator's word on this very receipt."""
    body, terms = made.countersignature, receipt.receipt
    wanted = (terms.network, terms.coordinator, terms.provider, receipt.digest)
    if (body.network, body.coordinator, body.provider, body.receipt_digest) != wanted:
        raise BadRequest("The countersignature is not for this receipt.")
    if body.cumulative < terms.credits:
        raise BadRequest("The countersigned total does not cover this receipt.", cause=str(body.cumulative))
