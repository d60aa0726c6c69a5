"""The provider's side of job conversations: one handler for the protocol ``/peernode/job/1``."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

import structlog
import trio

from peernode.chat.errors import BadRequest, JobError, ProviderBusy, ProviderFailed
from peernode.chat.events import Failed, Finished, Receipted, Started, Tokens, Waiting
from peernode.ledger import ReceiptStore, Refusal
from peernode.ledger.errors import VoucherTooLow
from peernode.market.announcing import first_event, tell_until_begun
from peernode.market.batching import TokenBatch
from peernode.market.failures import Outrun
from peernode.market.patience import ACK_S, COUNTERSIGN_S, MOST_UNACKNOWLEDGED, OFFER_S
from peernode.market.provider import Provider, Work
from peernode.market.recovery.provided import ProvidedPart, ProvidedParts, check_countersignature
from peernode.market.talk import Talk
from peernode.mesh import FrameStream
from peernode.wire.acknowledgement import offer_digest
from peernode.wire.countersignature import SignedCountersignature, open_countersignature
from peernode.wire.errors import WireError
from peernode.wire.job_frames import (
    MAX_WAIT_MS,
    AcceptFrame,
    AckFrame,
    BusyFrame,
    CancelFrame,
    CountersignFrame,
    EndFrame,
    ErrorFrame,
    FinishedFrame,
    JobFrame,
    OfferFrame,
    PrefillFrame,
    ReceiptFrame,
    TokensFrame,
)
from peernode.wire.offer import Offer, open_offer
from peernode.wire.receipt import SignedReceipt

log = structlog.get_logger(__name__)


class JobService:
    """Answers offers from peers with this node's provider. ``parts`` are what it answered."""

    def __init__(self, *, provider: Provider, store: ReceiptStore, clock_ms: Callable[[], int]) -> None:
        self.parts = ProvidedParts(identity=provider.identity, store=store, clock_ms=clock_ms)
        self._provider = provider
        self._store = store
        self._clock_ms = clock_ms

    async def handle(self, stream: FrameStream) -> None:
        """One conversation, from its offer to its end."""
        talk = Talk(stream, speaker="provider")
        try:
            offer, digest = await self._receive_offer(talk)
            with structlog.contextvars.bound_contextvars(request_id=offer.request_id, coordinator=offer.coordinator):
                await self._answer(talk, offer, digest)
        except (JobError, WireError) as err:
            log.info("job_conversation_ended", peer=stream.peer_id, code=err.code, reason=str(err))
            await talk.fail(err)

    async def _receive_offer(self, talk: Talk) -> tuple[Offer, bytes]:
        frame = await talk.receive(OFFER_S)
        assert isinstance(frame, OfferFrame)  # the conversation lets nothing else come first
        offer = open_offer(frame.raw, network=self._provider.network)
        if offer.coordinator != talk.peer_id:
            raise BadRequest("The offer was signed by somebody else than who brought it.", cause=offer.coordinator)
        return offer, offer_digest(frame.raw)

    async def _answer(self, talk: Talk, offer: Offer, digest: bytes) -> None:
        try:
            model, request = self._provider.consider(offer)
        except ProviderBusy as err:
            await self._busy(talk, err)
            return
        async with self._provider.work(offer, model, request) as work:
            match await first_event(talk, work):
                case Failed(error=ProviderBusy() as busy):
                    await self._busy(talk, busy, again_s=work.room_in())
                    return
                case Failed(error=error):
                    raise error
                case Started(markup=markup):
                    part = self.parts.begin(offer, request, work.facts, digest, work.cancel)
                    await self._serve(talk, work, part, AcceptFrame(work.model_id, markup))
                case Tokens() | Waiting() | Finished() | Receipted():
                    raise AssertionError("an engine's stream opens with Started or Failed")

    async def _serve(self, talk: Talk, work: Work, part: ProvidedPart, accept: AcceptFrame) -> None:
        """A part from its acceptance to its end, however it ends. Raises the engine's JobError."""
        settled = False
        try:
            await talk.send(accept)
            serving = _Serving(talk, work, part, self.parts)
            await serving.run()
            if serving.gone:  # what it has, the coordinator says when it can be reached again
                settled = serving.unwanted
                return
            receipt = await work.sign()
            settled = await self._settle(talk, receipt)
        finally:
            self.parts.end(part, settled=settled)

    async def _busy(self, talk: Talk, err: ProviderBusy, *, again_s: float = 0.0) -> None:
        free_slots, queued = self._provider.room()
        again_ms = round(1000 * (again_s if err.retry_after_s is None else err.retry_after_s))
        await talk.send(BusyFrame(err.cause or err.sentence, free_slots, queued, min(again_ms, MAX_WAIT_MS)))

    async def _settle(self, talk: Talk, receipt: SignedReceipt) -> bool:
        """Whether it is paid, or refused; else it stays open."""
        await talk.send(ReceiptFrame(receipt.raw))
        frame: JobFrame = CancelFrame()
        while isinstance(frame, (CancelFrame, AckFrame)):  # one may have crossed the end of the answer
            frame = await talk.receive(COUNTERSIGN_S)
        if isinstance(frame, ErrorFrame):
            if frame.code == Outrun.code:
                return True
            await self._note_refusal(receipt, frame)
            return True
        assert isinstance(frame, CountersignFrame)  # nothing else is in turn
        made = open_countersignature(frame.raw)
        check_countersignature(made, receipt)
        await self.keep(receipt, made)
        with suppress(ProviderFailed):  # it has paid, whether or not it hears that we know
            await talk.send(EndFrame())
        log.info("job_served", tokens=receipt.receipt.completion_tokens, credits=receipt.receipt.credits)
        return True

    async def keep(self, receipt: SignedReceipt, made: SignedCountersignature) -> None:
        """Store a countersignature, by whichever way it came. Raises BadRequest for a wrong or too low one."""
        credit = self._provider.credit
        try:
            await self.parts.keep(receipt, made)
        except VoucherTooLow as err:
            credit.short_voucher(receipt, made)
            raise BadRequest(err.sentence, cause=err.cause) from err
        credit.countersigned(receipt, made)

    async def _note_refusal(self, receipt: SignedReceipt, frame: ErrorFrame) -> None:
        log.warning("own_receipt_refused", code=frame.code, reason=frame.sentence)
        self._provider.credit.refused(receipt)
        body = receipt.receipt
        refusal = Refusal(
            body.request_id, body.part, body.provider, receipt.raw, frame.code, frame.sentence, self._clock_ms()
        )
        await trio.to_thread.run_sync(lambda: self._store.refuse(refusal, signed=receipt))


class _Serving:
    """The answer's way out: tokens to the peer, cancels and acknowledgements in, until the answer is finished.

    ``gone``: the coordinator left before that; ``unwanted``: it said that it got nothing and will pay nothing.
    """

    def __init__(self, talk: Talk, work: Work, part: ProvidedPart, parts: ProvidedParts) -> None:
        self._talk = talk
        self._work = work
        self._part, self._parts = part, parts
        self._deadline_s = work.deadline_s
        self._batch = TokenBatch()
        self._waiting = trio.Event()
        self._sending = trio.Lock()
        self._fault: BadRequest | None = None
        self.gone = self.unwanted = self._told_prompt = self._stopped = False

    async def run(self) -> None:
        """Returns when the answer is finished and said so. Raises the engine's JobError."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen)
            nursery.start_soon(self._stop_at_deadline)
            nursery.start_soon(self._flush_when_due)
            nursery.start_soon(tell_until_begun, self._tell_in_turn, self._work)
            end = await self._send_tokens()
            nursery.cancel_scope.cancel()
        if self._fault is not None:
            raise self._fault
        if isinstance(end, Failed):
            raise end.error
        usage = end.usage
        await self._tell(FinishedFrame(end.reason, usage.prompt_tokens, usage.cached_tokens, self._work.tokens))

    async def _listen(self) -> None:
        """A cancel, or the peer's disappearance, stops the sequence."""
        try:
            while True:
                match await self._talk.receive(math.inf):
                    case AckFrame(raw):
                        self._parts.acknowledge(self._part, raw)
                    case CancelFrame():
                        self._stop()
                    case ErrorFrame(code=code):
                        self.unwanted = code == Outrun.code and not self._part.acknowledged
                        self._leave()
                        return
        except ProviderFailed as err:
            log.info("coordinator_left", reason=err.cause)
            self._leave()
        except BadRequest as err:  # an acknowledgement of something else
            self._fault = err
            self._stop()

    async def _stop_at_deadline(self) -> None:
        await trio.sleep(self._deadline_s)
        self._stop()

    async def _send_tokens(self) -> Finished | Failed:
        while True:
            if self._beyond:
                overdue = await self._await_acknowledgement()
                if overdue is not None:
                    self._stop()
                    return Failed(overdue)
                if self._beyond:  # stopped: what the engine has made meanwhile is nobody's
                    return await self._work.drain()
            event = await anext(self._work)
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

    @property
    def _beyond(self) -> bool:
        """Whether as much is out as the coordinator may have without a word from it."""
        return self._work.tokens - self._part.acknowledged >= MOST_UNACKNOWLEDGED

    async def _await_acknowledgement(self) -> ProviderFailed | None:
        """Go no further than the coordinator vouches for; an error when it does not in time."""
        await self._flush()
        with trio.move_on_after(ACK_S) as patience:
            while self._beyond and not self._stopped:
                await self._part.heard.wait()
        if patience.cancelled_caught:
            return ProviderFailed("No acknowledgement came in time.", cause=f"{self._work.tokens} tokens are sent")
        return None

    async def _tell_in_turn(self, frame: JobFrame) -> None:
        async with self._sending:
            if not self._work.begun:
                await self._tell(frame)

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
            if tokens is not None and not self.gone:
                await self._tell_prompt()
                if not self._part.first_token_ms:
                    self._part.first_token_ms = self._work.first_token_ms
                self._part.trail.add(tokens.ids, tokens.text)
                await self._tell(TokensFrame(tokens.ids, tokens.text, tokens.logprobs))
        finally:
            self._sending.release()

    async def _tell_prompt(self) -> None:
        prefill = self._work.prefill
        if prefill is not None and not self._told_prompt:
            self._part.trail.prompt = prefill.prompt_tokens, prefill.cached_tokens
            await self._tell(PrefillFrame(prefill.prompt_tokens, prefill.cached_tokens))
        self._told_prompt = True

    async def _tell(self, frame: JobFrame) -> None:
        if self.gone:
            return
        try:
            await self._talk.send(frame)
        except ProviderFailed as err:
            log.info("coordinator_gone", reason=err.cause)
            self._leave()

    def _leave(self) -> None:
        self.gone = True
        self._stop()

    def _stop(self) -> None:
        self._stopped = True
        self._work.cancel()
        self._part.wake()
