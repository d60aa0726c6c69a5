"""The coordinator: one job stream made of others, tried in the router's order until one gives a first token.

Before the first token a failure is silent and the next candidate is asked; after it the stream ends with a typed error.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import structlog
import trio

from peernode.chat.errors import (
    BadRequest,
    FirstTokenTimeout,
    JobError,
    NoProvider,
    ProviderBusy,
    ProviderFailed,
    UnknownModel,
)
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens
from peernode.chat.job import ChatJob
from peernode.market.billing import most_credits
from peernode.market.candidates import Candidates
from peernode.market.desk import Ordered
from peernode.market.job_count import JobCount
from peernode.market.routing import Candidate, Ranking, demand_of, rank
from peernode.market.streaming import Emit, Producer, produced
from peernode.wire.identity import Identity
from peernode.wire.offer import Offer
from peernode.wire.prices import Prices

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 4


class Coordinator:
    """JobRunner over everybody who offers the model. ``runner_for`` makes the runner for one ordered candidate."""

    def __init__(
        self,
        *,
        identity: Identity,
        network: str,
        candidates: Candidates,
        runner_for: Callable[[Candidate, Ordered], Producer],
        rng: random.Random,
    ) -> None:
        self._identity = identity
        self._network = network
        self._candidates = candidates
        self._runner_for = runner_for
        self._rng = rng
        self.draining = False
        self.jobs = JobCount()

    def open(self, job: ChatJob) -> AbstractAsyncContextManager[AsyncIterator[JobEvent]]:
        return produced(lambda emit: self._produce(job, emit))

    async def _produce(self, job: ChatJob, emit: Emit) -> None:
        outcome, tokens = "client_left", 0

        async def watched(event: JobEvent) -> None:
            nonlocal outcome, tokens
            await emit(event)
            match event:
                case Tokens(ids=ids):
                    tokens += len(ids)
                case Receipted():
                    outcome = "receipted"
                case Failed(error=error):
                    outcome = error.code
                case Started() | Finished():
                    pass

        with self.jobs.one(), structlog.contextvars.bound_contextvars(request_id=job.request_id):
            try:
                await self._route(job, watched)
            finally:
                log.info("job_ended", model=job.model, outcome=outcome, tokens=tokens)

    async def _route(self, job: ChatJob, emit: Emit) -> None:
        if self.draining:
            await emit(Failed(NoProvider("This node is going away.", remedy="Ask another node.")))
            return
        began = trio.current_time()
        candidates = self._candidates.for_model(job.model, job.request, now=began)
        if not candidates:
            await emit(Failed(self._nobody(job.model)))
            return
        ranking = rank(demand_of(job.request, job.wishes), candidates, began, self._rng)
        if not ranking.order:
            await emit(Failed(_nobody_left(ranking, job.model)))
            return
        attempts: list[tuple[Candidate, JobError]] = []
        for candidate, _ in ranking.order[:MAX_ATTEMPTS]:
            left = job.first_token_s - (trio.current_time() - began)
            if left <= 0:
                break
            error = await self._attempt(candidate, replace(job, first_token_s=left), emit)
            if error is None:
                return
            attempts.append((candidate, error))
            log.info("provider_passed_over", provider=candidate.peer, code=error.code, reason=str(error))
        await emit(Failed(_verdict(attempts)))

    def _nobody(self, model: str) -> JobError:
        if self._candidates.ever_seen(model):
            return NoProvider(f"Nobody offers the model {model!r} at the moment.", remedy="Try again in a while.")
        return UnknownModel(f"The model {model!r} is not known here.", remedy="GET /v1/models lists those that are.")

    async def _attempt(self, candidate: Candidate, job: ChatJob, emit: Emit) -> JobError | None:
        """None when the stream was brought to its end; otherwise why the next candidate should be asked."""
        runner = self._runner_for(candidate, self._order(candidate, job))
        attempt = _Attempt(candidate, emit)
        in_flight = self._candidates.experience.in_flight
        in_flight[candidate.peer] += 1
        try:
            with attempt.scope:
                await runner.produce(job, attempt.take)
        finally:
            in_flight[candidate.peer] -= 1
        if attempt.over:
            return attempt.error
        error = ProviderFailed("The provider's stream stopped without an end.")
        if not attempt.delivered:
            return error
        await emit(Failed(error))
        return None

    def _order(self, candidate: Candidate, job: ChatJob) -> Ordered:
        card = candidate.card
        most = most_credits(card, job.request)
        offer = Offer(
            network=self._network,
            request_id=job.request_id,
            part=job.part,
            coordinator=self._identity.peer_id,
            provider=candidate.peer,
            model_digest=card.digest,
            request=job.request.to_fields(),
            seed=job.seed,
            max_credits=most if job.max_credits is None else min(most, job.max_credits),
            prices=Prices(card.price_prompt, card.price_cached, card.price_completion),
            deadline_ms=round(job.total_s * 1000),
            continue_from=job.continue_from,
        )
        return Ordered(offer, job.request, card)


class _Attempt:
    """What came of one candidate so far. ``scope`` is over with the last event; ``error`` is why to ask the next."""

    def __init__(self, candidate: Candidate, emit: Emit) -> None:
        self.scope = trio.CancelScope()
        self.delivered = self.over = False
        self.error: JobError | None = None
        self._candidate = candidate
        self._emit = emit
        self._markup = ""

    async def take(self, event: JobEvent) -> None:
        """Hand an event on, unless it is a failure that nobody needs to hear of."""
        match event:
            case Tokens() | Finished():
                if not self.delivered:
                    self.delivered = True
                    await self._emit(Started(self._candidate.peer, self._candidate.card.id, self._markup))
                await self._emit(event)
            case Started(markup=said):
                self._markup = said  # said once this attempt delivers: until then another may have to start
            case Failed(error=error) if not self.delivered and not isinstance(error, BadRequest):
                self.error = error
                self._end()
            case Failed() | Receipted():
                await self._emit(event)
                self._end()

    def _end(self) -> None:
        self.over = True
        self.scope.cancel()


def _nobody_left(ranking: Ranking, model: str) -> JobError:
    """Why none of those who offer the model may be asked: the filter that took out the last of them."""
    last = ranking.excluded[-1].filter
    sentence = f"{last.sentence} ({model})"
    if last.param:
        return BadRequest(sentence, param=last.param, cause=last.name, remedy=last.remedy)
    return NoProvider(sentence, cause=last.name, remedy=last.remedy)


def _verdict(attempts: list[tuple[Candidate, JobError]]) -> JobError:
    """One error for all that was tried: out of time, failed, or only busy."""
    causes = "; ".join(f"{candidate.peer}: {error}" for candidate, error in attempts)
    errors = [error for _, error in attempts]
    if any(isinstance(error, FirstTokenTimeout) for error in errors) or not errors:
        return FirstTokenTimeout("No provider gave a first token in time.", cause=causes)
    if all(isinstance(error, (ProviderBusy, NoProvider)) for error in errors):
        return NoProvider("Every provider of this model is busy.", cause=causes, remedy="Try again in a while.")
    return ProviderFailed("Every provider of this model failed.", cause=causes, remedy="Try again.")
