"""This node as a provider: takes an offer for one of its models, runs it, and signs for what it handed on.

Knows no streams: ``service`` carries it over the mesh for peers, ``local`` hands it to this node's own coordinator.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.errors import BadRequest, NoProvider, ProviderBusy
from peernode.chat.events import Failed, Finished, JobEvent, Tokens, Usage, Waiting
from peernode.chat.job import ChatJob
from peernode.chat.job_request import JobRequest, read_request
from peernode.engine import ModelFacts
from peernode.ledger import ReceiptStore
from peernode.market.credit.gate import CREDIT, CreditGate, CreditHold, NoLimits
from peernode.market.durably import durably
from peernode.market.job_count import JobCount
from peernode.market.metering import Meter
from peernode.market.models import EngineStream, OwnModel, OwnModels
from peernode.market.routing.demand import demand_of
from peernode.market.turns import Turn, Turns
from peernode.wire.errors import WireError
from peernode.wire.identity import Identity
from peernode.wire.offer import Offer
from peernode.wire.receipt import LOST, SignedReceipt, sign_receipt

log = structlog.get_logger(__name__)


class Work:
    """One accepted offer while it runs. Iterate it for events up to Finished, then ``sign`` once."""

    def __init__(
        self,
        provider: Provider,
        offer: Offer,
        request: JobRequest,
        model: OwnModel,
        stream: EngineStream,
        *,
        hold: CreditHold,
        turn: Turn,
    ) -> None:
        self._provider = provider
        self._offer = offer
        self._request = request
        self._model = model
        self._stream = stream
        self._hold = hold
        self._turn = turn
        self._meter = Meter(accepted_ms=provider.clock_ms())
        self._finished: Finished | None = None
        self._signed: SignedReceipt | None = None

    @property
    def model_id(self) -> str:
        return self.facts.id

    @property
    def deadline_s(self) -> float:
        return self._offer.deadline_ms / 1000

    @property
    def prefill(self) -> Usage | None:
        """What the prompt took, from the first tokens on."""
        return self._stream.prefill

    @property
    def tokens(self) -> int:
        """How many were iterated."""
        return len(self._meter.ids)

    @property
    def begun(self) -> bool:
        """Whether its turn has come and there is something of it."""
        return bool(self._meter.ids) or self._finished is not None

    def waiting(self) -> Waiting | None:
        """How long it is until its turn; None when that has come."""
        return None if self.begun else self._turn.waiting()

    def room_in(self) -> float:
        """When a job that finds no room should come again, in seconds."""
        return self._turn.room_in()

    @property
    def first_token_ms(self) -> int:
        return self._meter.first_token_ms

    @property
    def facts(self) -> ModelFacts:
        """Complete once the model was loaded, which may have waited for this very job."""
        facts = self._model.engine.facts
        assert facts is not None  # a model without facts is not found by digest
        return facts

    def __aiter__(self) -> Work:
        return self

    async def __anext__(self) -> JobEvent:
        event = await anext(self._stream)
        if isinstance(event, (Tokens, Finished)):
            self._turn.begun()
        if isinstance(event, Tokens):
            if not self._hold.covers(len(self._meter.ids) + len(event.ids)):
                self._stream.cancel()
                return Failed(ProviderBusy("The line of credit is used up.", cause=f"{CREDIT}: used up by this job"))
            if not self._meter.ids and (took := self._stream.prefill) is not None:
                self._hold.metered(took.prompt_tokens, took.cached_tokens)
            self._meter.count(event, now_ms=self._provider.clock_ms())
        elif isinstance(event, Finished):
            self._finished = event
        return event

    async def drain(self) -> Finished | Failed:
        """Pass over what the engine still says after a cancel, unmetered; its end."""
        async for event in self._stream:
            if isinstance(event, Finished):
                self._finished = event
                return event
            if isinstance(event, Failed):
                return event
        raise AssertionError("an engine's stream stopped without its end")

    def cancel(self) -> None:
        """Stop within one decode step; Finished("cancelled") still comes."""
        self._stream.cancel()

    async def sign(self) -> SignedReceipt:
        """The receipt for what was iterated, durable when this returns. Call after Finished; again gives the same."""
        if self._signed is None:
            self._signed = await self._make_receipt()
        return self._signed

    async def sign_broken(self) -> SignedReceipt | None:
        """The receipt for what was iterated of an answer that broke off; None when that is nothing."""
        if self._signed is None and self._finished is None and self.tokens and self.prefill is not None:
            usage = Usage(self.prefill.prompt_tokens, self.tokens, self.prefill.cached_tokens)
            self._finished = Finished(LOST, usage)
            return await self.sign()
        return None

    async def _make_receipt(self) -> SignedReceipt:
        finished = self._finished
        if finished is None:
            raise RuntimeError("a receipt is signed after the answer is finished")
        provider, now_ms = self._provider, self._provider.clock_ms()

        def build(seq: int, previous: bytes) -> SignedReceipt:
            receipt = self._meter.receipt(
                self._offer, self._request, self.facts, finished, now_ms=now_ms, seq=seq, previous=previous
            )
            return sign_receipt(receipt, provider.identity)

        signed = await durably(provider.store.append_soon(build, now_ms=now_ms))
        self._hold.billed(signed.receipt.credits)
        return signed


class Provider:
    """Decides on offers and runs them. ``draining`` refuses new ones while those accepted go on."""

    def __init__(
        self,
        *,
        identity: Identity,
        network: str,
        models: OwnModels,
        store: ReceiptStore,
        clock_ms: Callable[[], int],
        credit: CreditGate | None = None,
    ) -> None:
        self.identity = identity
        self.network = network
        self.store = store
        self.clock_ms = clock_ms
        self.draining = False
        self.jobs = JobCount()
        self.turns = Turns()
        self.credit: CreditGate = credit or NoLimits()
        self._models = models

    def room(self) -> tuple[int, int]:
        """(free slots, jobs queued) over all models."""
        loads = self._models.loads()
        return sum(load.free_slots for load in loads), sum(load.queued for load in loads)

    def consider(self, offer: Offer) -> tuple[OwnModel, JobRequest]:
        """The model and the request, if the offer can be taken. Raises BadRequest, NoProvider or ProviderBusy."""
        if offer.provider != self.identity.peer_id or offer.network != self.network:
            raise BadRequest("The offer is for another node.", cause=offer.provider)
        if self.draining:
            raise ProviderBusy("The node is going away.", cause="draining")
        try:
            request = read_request(offer.request)
        except WireError as err:
            raise BadRequest("The offer's request cannot be read.", cause=str(err)) from err
        model = self._models.by_digest(offer.model_digest, embeds=isinstance(request, EmbeddingRequest))
        if model is None:
            raise NoProvider("This node does not have that model loaded.", cause=offer.model_digest.hex()[:16])
        if not model.honours(offer.prices):
            raise ProviderBusy("The prices have changed.", cause="prices")
        self.credit.check(offer, request, _context_of(model))
        return model, request

    @asynccontextmanager
    async def work(
        self, offer: Offer, model: OwnModel, request: JobRequest, *, client: str = ""
    ) -> AsyncIterator[Work]:
        """Run a considered offer. Leaving the context without Finished throws the job away, unbilled.

        ``client`` is whose job it is among those of this node's own, where that is known.
        """
        job = ChatJob(
            request_id=offer.request_id,
            model=offer.model_digest.hex(),
            request=request,
            seed=offer.seed,
            part=offer.part,
            max_credits=offer.max_credits,
            total_s=offer.deadline_ms / 1000,
            continue_from=offer.continue_from,
            payer=f"{offer.coordinator}/{client}" if client else offer.coordinator,
        )
        with self.jobs.one(), self.credit.reserve(offer, request, _context_of(model)) as hold:
            turn = self.turns.join(model.engine, demand_of(request).prompt_tokens + len(offer.continue_from))
            try:
                async with model.engine.open(job) as stream:
                    yield Work(self, offer, request, model, stream, hold=hold, turn=turn)
            finally:
                turn.left()


def _context_of(model: OwnModel) -> int:
    facts = model.engine.facts
    assert facts is not None  # a model without facts is not found by digest
    return facts.context_length
