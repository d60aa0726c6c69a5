"""A job on a peer: the coordinator's side of the conversation, from the signed offer to the countersigned receipt."""

from __future__ import annotations

import structlog
import trio

from peernode.chat.errors import JobError, NoReceipt, ProviderBusy, ProviderFailed
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens, Usage, Waiting
from peernode.chat.job import ChatJob
from peernode.market.billing import most_prompt_tokens
from peernode.market.delivery import Delivery
from peernode.market.desk import Ordered, ReceiptDesk
from peernode.market.failures import Outrun, from_peer
from peernode.market.patience import (
    ACCEPT_S,
    ACK_EVERY,
    DIAL_S,
    END_S,
    LAST_DUTIES_S,
    RECEIPT_S,
    Patience,
    last_duties,
)
from peernode.market.recovery.ordered import OrderedPart
from peernode.market.streaming import Emit
from peernode.market.talk import Hush, Talk
from peernode.mesh import Mesh, MeshError
from peernode.wire.acknowledgement import offer_digest
from peernode.wire.conversation import State
from peernode.wire.identity import Identity
from peernode.wire.job_frames import (
    LOADING,
    PROTOCOL,
    QUEUED,
    AcceptFrame,
    AckFrame,
    BusyFrame,
    CountersignFrame,
    ErrorFrame,
    FinishedFrame,
    JobFrame,
    OfferFrame,
    PrefillFrame,
    ReceiptFrame,
    TokensFrame,
    WaitFrame,
)
from peernode.wire.logprobs import Logprobs
from peernode.wire.offer import sign_offer
from peernode.wire.receipt import FINISH_REASONS, LOST

log = structlog.get_logger(__name__)

LATER = "It is asked for again as soon as the provider can be reached."


class RemoteRunner:
    """Producer over one peer, for one order."""

    def __init__(self, *, identity: Identity, mesh: Mesh, desk: ReceiptDesk, ordered: Ordered) -> None:
        self._identity = identity
        self._mesh = mesh
        self._desk = desk
        self._ordered = ordered

    async def produce(self, job: ChatJob, emit: Emit) -> None:
        try:
            provider = self._ordered.offer.provider
            async with self._mesh.open(provider, PROTOCOL, timeout_s=DIAL_S, speak_first=True) as stream:
                talk = Talk(stream, speaker="coordinator")
                await _Order(talk, self._desk, self._ordered, self._identity).run(job, emit)
        except MeshError as err:
            await emit(Failed(ProviderFailed("The provider could not be reached.", cause=str(err))))


class _Order:
    """One conversation, from offer to end."""

    def __init__(self, talk: Talk, desk: ReceiptDesk, ordered: Ordered, identity: Identity) -> None:
        self._talk = talk
        self._desk = desk
        self._ordered = ordered
        self._identity = identity
        self._delivery = Delivery()
        self._receipt = b""
        self._part: OrderedPart | None = None
        self._paid = self._refused = False

    async def run(self, job: ChatJob, emit: Emit) -> None:
        patience = Patience.of(job, began=trio.current_time())
        try:
            end = await self._relay(patience, emit)
            await emit(end)
            if isinstance(end, Receipted):
                await self._await_end()
        except trio.Cancelled:
            with last_duties():
                await self._wind_up()
            raise
        finally:
            if self._part is not None:
                self._desk.parts.end(self._part, self._delivery, paid=self._paid, refused=self._refused)

    async def _relay(self, patience: Patience, emit: Emit) -> JobEvent:
        """Offer, then hand events on up to Finished; returns the stream's last event."""
        try:
            raw = sign_offer(self._ordered.offer, self._identity)
            await self._talk.send(OfferFrame(raw))
            match await self._answer_to_offer(patience, emit):
                case AcceptFrame(model_id, markup):
                    self._part = self._desk.parts.begin(self._ordered, offer_digest(raw))
                    await emit(Started(self._ordered.offer.provider, model_id, markup))
                case BusyFrame(reason, retry_after_ms=retry_after_ms):
                    busy = ProviderBusy("The provider is busy.", cause=reason)
                    busy.retry_after_s = retry_after_ms / 1000 or None
                    return Failed(busy)
                case ErrorFrame() as frame:
                    return Failed(from_peer(frame))
            finished = await self._tokens(patience, emit)
        except JobError as err:
            return Failed(err)
        if isinstance(finished, Failed):
            return finished
        await emit(finished)
        try:
            return await self._settle()
        except JobError as err:
            return Failed(NoReceipt("The answer came without a receipt.", cause=str(err), remedy=LATER))

    async def _answer_to_offer(self, patience: Patience, emit: Emit) -> JobFrame:
        """Accept, busy or error; whoever goes on saying how long it will be is waited for like a first token."""
        while True:
            now = trio.current_time()
            left_s = patience.until(now=now, begun=False) - now
            try:
                frame = await self._talk.receive(min(ACCEPT_S, left_s))
            except Hush:
                if left_s > ACCEPT_S:
                    raise
                await self._talk.cancel()
                raise patience.too_late(now=trio.current_time(), begun=False) from None
            if not isinstance(frame, WaitFrame):
                return frame
            await emit(_waiting(frame))

    async def _tokens(self, patience: Patience, emit: Emit) -> Finished | Failed:
        delivery = self._delivery
        while True:
            now = trio.current_time()
            try:
                frame = await self._talk.receive(patience.until(now=now, begun=delivery.begun) - now)
            except Hush:
                await self._talk.cancel()
                return Failed(patience.too_late(now=trio.current_time(), begun=delivery.begun))
            match frame:
                case TokensFrame(ids, text, logprobs):
                    if not self._as_asked(ids, logprobs):
                        await self._talk.cancel()
                        return Failed(ProviderFailed("The provider left out or made up log-probabilities."))
                    delivery.add(ids, text)
                    await self._acknowledge()
                    await emit(Tokens(text, ids, logprobs))
                case WaitFrame():
                    await emit(_waiting(frame))
                case PrefillFrame(prompt_tokens, cached_tokens):
                    if (
                        not cached_tokens
                        <= prompt_tokens
                        <= most_prompt_tokens(self._ordered.card, self._ordered.request)
                    ):
                        await self._talk.cancel()
                        return Failed(ProviderFailed("The provider made up the size of the prompt."))
                    delivery.prompt = prompt_tokens, cached_tokens
                case FinishedFrame(reason, prompt_tokens, cached_tokens):
                    if (
                        reason not in FINISH_REASONS or reason == LOST
                    ):  # the client would be told it, so it is not passed on unread
                        return Failed(ProviderFailed("The provider ended its answer in no known way."))
                    delivery.reason = reason
                    if not delivery.prompt[0]:
                        delivery.prompt = prompt_tokens, cached_tokens
                    return Finished(reason, Usage(prompt_tokens, len(delivery.ids), cached_tokens))
                case ErrorFrame():
                    return Failed(from_peer(frame))

    async def _acknowledge(self) -> None:
        """Now and then the provider gets this node's word on what has come. Raises ProviderFailed when it is gone."""
        part, delivery = self._part, self._delivery
        if part is not None and len(delivery.ids) - part.acknowledged >= ACK_EVERY:
            await self._talk.send(AckFrame(self._desk.parts.acknowledge(part, delivery).raw))

    def _as_asked(self, ids: tuple[int, ...], logprobs: tuple[Logprobs, ...]) -> bool:
        """Whether each token has as many log-probabilities as the request wants. Their truth cannot be seen here."""
        wanted = self._ordered.request.top_logprobs
        if wanted is None:
            return not logprobs
        return len(logprobs) == len(ids) and all(len(entry.top) <= wanted for entry in logprobs)

    async def _settle(self) -> Receipted | Failed:
        """Take the receipt in and answer it. Raises JobError when none comes."""
        if not self._receipt:
            match await self._talk.receive(RECEIPT_S):
                case ReceiptFrame(raw):
                    self._receipt = raw
                case ErrorFrame() as frame:
                    raise from_peer(frame)
        outcome = await self._desk.take(self._receipt, self._ordered, self._delivery.sealed())
        if isinstance(outcome, Failed):
            self._refused = True
            await self._talk.fail(outcome.error)
            return outcome
        self._paid = True
        try:
            await self._talk.send(CountersignFrame(outcome.countersignature.raw))
        except ProviderFailed as err:
            # Both signatures are durable here; the provider can ask for the countersignature when it is back.
            log.info("countersignature_not_delivered", request_id=self._ordered.offer.request_id, reason=err.cause)
        return outcome

    async def _await_end(self) -> None:
        try:
            await self._talk.receive(END_S)
        except JobError as err:
            log.info("countersignature_unconfirmed", request_id=self._ordered.offer.request_id, reason=str(err))

    async def _wind_up(self) -> None:
        """The client left, or another was faster: stop the provider, and take in its receipt for exactly what it sent.

        Nothing is owed to who sent nothing, and nothing is waited for: it may be frozen.
        """
        try:
            if self._talk.state in {State.OFFERED, State.RUNNING}:
                await self._talk.cancel()
                if not self._delivery.begun:
                    await self._talk.fail(Outrun("What was asked for is not wanted any more, and nothing came of it."))
                    return
            while self._talk.state in {State.OFFERED, State.RUNNING}:
                match await self._talk.receive(LAST_DUTIES_S):
                    case TokensFrame(ids, text):
                        self._delivery.add(ids, text)
                    case PrefillFrame(prompt_tokens, cached_tokens):
                        self._delivery.prompt = prompt_tokens, cached_tokens
                    case FinishedFrame(reason):
                        self._delivery.reason = reason
            if self._talk.state in {State.FINISHED, State.RECEIPTED}:
                await self._settle()
            if self._talk.state is State.COUNTERSIGNED:
                await self._await_end()
        except JobError as err:
            log.info("no_receipt_after_cancel", request_id=self._ordered.offer.request_id, reason=str(err))


def _waiting(frame: WaitFrame) -> Waiting:
    return Waiting(LOADING if frame.state == LOADING else QUEUED, frame.eta_ms / 1000)
