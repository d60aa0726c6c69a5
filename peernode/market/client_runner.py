"""The coordinator's job stream for those who pay: credit is held before a job is sent out, and released at its end.

In between receipts take their credits from what is held, in the transaction that countersigns them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

import structlog
import trio

from peernode.chat.errors import JobError
from peernode.chat.events import Failed, JobEvent, Receipted, Started, Tokens
from peernode.chat.fee_share import NO_FEE, FeeShare
from peernode.chat.job import ChatJob, JobRunner
from peernode.chat.request import ChatRequest
from peernode.ledger.spending import Bounds
from peernode.market.candidates import Candidates
from peernode.market.client_purse import Outcome, Purse
from peernode.market.client_quote import LEAST_COMPLETION, eligible_cards, limited, quote
from peernode.market.routing.demand import demand_of
from peernode.market.routing.model_names import read_model_name
from peernode.market.streaming import Emit, produced
from peernode.wire.advert import ModelCard
from peernode.wire.prices import Prices

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a request may cost: the cards of those who could answer, and how much to hold."""

    cards: tuple[ModelCard, ...]
    bounds: Bounds


class _Course:
    """What a job has come to so far."""

    def __init__(self, job: ChatJob, fee: FeeShare) -> None:
        self._job = job
        self._fee = fee
        self._prices = Prices()
        self._tokens = 0
        self._receipted: int | None = None
        self.failed = False

    def follow(self, event: JobEvent) -> None:
        if isinstance(event, Started):
            self._prices = event.prices or Prices()
        elif isinstance(event, Tokens):
            self._tokens += len(event.ids)
        elif isinstance(event, Failed):
            self.failed = True
        elif isinstance(event, Receipted):
            self._receipted = self._fee.on(event.receipt.receipt.credits)

    def outcome(self) -> Outcome:
        prompt = demand_of(self._job.request).prompt_tokens
        estimate = self._prices.amount(prompt_tokens=prompt, cached_tokens=0, completion_tokens=self._tokens)
        return Outcome(self.failed, self._fee.on(estimate) if self._receipted is None else self._receipted)


class PaidRunner:
    """JobRunner that holds and releases for jobs with a ``payer``; others pass. ``purse_of`` says who pays for one.

    To those who pay prices and receipts come with the ``fee`` of this node.
    """

    def __init__(
        self,
        *,
        runner: JobRunner,
        purse_of: Callable[[ChatJob], Purse],
        candidates: Candidates,
        fee: FeeShare = NO_FEE,
    ) -> None:
        self._runner = runner
        self._fee = fee
        self._purse_of = purse_of
        self._candidates = candidates

    def open(self, job: ChatJob) -> AbstractAsyncContextManager[AsyncIterator[JobEvent]]:
        return produced(lambda emit: self._produce(job, emit)) if job.payer else self._runner.open(job)

    async def _produce(self, job: ChatJob, emit: Emit) -> None:
        job = replace(job, wishes=self._fee.within_wishes(job.wishes))
        plan, purse = self._plan(job), self._purse_of(job)
        try:
            held = await purse.hold(job, plan.bounds)
        except JobError as err:
            await emit(Failed(err))
            return
        course = _Course(job, self._fee)
        ended = False
        try:
            async with self._runner.open(self._within(job, plan, held)) as events:
                async for event in events:
                    course.follow(event)
                    if isinstance(event, Receipted):
                        # Before the client hears of the end: what it asks next finds its balance as it is.
                        await purse.end(job, held, course.outcome())
                        ended = True
                    await emit(self._with_fee(event))
        except Exception:  # a defect of a runner, and not the client's departure
            course.failed = True
            raise
        finally:
            if not ended:
                with trio.CancelScope(shield=True):
                    await purse.end(job, held, course.outcome())

    def _plan(self, job: ChatJob) -> _Plan:
        now = trio.current_time()
        cards: list[ModelCard] = []
        for name in (job.model, *job.wishes.models):
            model = read_model_name(name)
            found = self._candidates.for_model(model.id, job.request, now=now)
            cards += eligible_cards(found, job.request, model.adapted(job.wishes))
        most = least = quote(cards, job.request)
        if isinstance(job.request, ChatRequest) and job.request.max_tokens is None:
            least = min(most, quote(cards, replace(job.request, max_tokens=LEAST_COMPLETION)))
        return _Plan(tuple(cards), Bounds(self._fee.most_on(least), self._fee.most_on(most)))

    def _within(self, job: ChatJob, plan: _Plan, held: int) -> ChatJob:
        """The job cut down to what was held, where that is less than it could have cost."""
        if held >= plan.bounds.most:
            return job
        request = limited(plan.cards, job.request, self._fee.within(held))
        if request is None:
            return job
        log.info("answer_limited_by_credit", most_tokens=request.max_tokens)
        return replace(job, request=request)

    def _with_fee(self, event: JobEvent) -> JobEvent:
        if isinstance(event, Started) and event.prices is not None:
            return replace(event, prices=self._fee.on_prices(event.prices))
        return replace(event, fee=self._fee) if isinstance(event, Receipted) else event
