"""The coordinator: one job stream made of others, so that whoever reads it cannot tell where an answer comes from.

Owns the offers made in this node's name and the count of jobs; ``dispatch`` decides whom to ask and who goes on.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import structlog

from peernode.chat.errors import NoProvider
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens, Waiting
from peernode.chat.job import ChatJob
from peernode.market.billing import most_credits
from peernode.market.candidates import Candidates
from peernode.market.desk import Ordered
from peernode.market.dispatch import Dispatch, Means
from peernode.market.job_count import JobCount
from peernode.market.routing import Candidate
from peernode.market.streaming import Emit, Producer, produced
from peernode.wire.identity import Identity
from peernode.wire.offer import Offer
from peernode.wire.prices import Prices

log = structlog.get_logger(__name__)


class Coordinator:
    """JobRunner over everybody who offers the model. ``runner_for`` makes the runner for one ordered candidate.

    ``requests`` are the ids of those that it answers now.
    """

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
        self._means = Means(candidates, self._order, runner_for, rng)
        self.draining = False
        self.jobs = JobCount()
        self.requests: set[str] = set()

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
                case Started() | Waiting() | Finished():
                    pass

        with self.jobs.one(), structlog.contextvars.bound_contextvars(request_id=job.request_id):
            self.requests.add(job.request_id)
            try:
                await self._route(job, watched)
            finally:
                self.requests.discard(job.request_id)
                log.info("job_ended", model=job.model, outcome=outcome, tokens=tokens)

    async def _route(self, job: ChatJob, emit: Emit) -> None:
        if self.draining:
            await emit(Failed(NoProvider("This node is going away.", remedy="Ask another node.")))
            return
        await Dispatch(self._means, job, emit).run()

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
            transformed=job.transformed,
        )
        return Ordered(offer, job.request, card)
