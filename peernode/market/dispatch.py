"""The journey of one request: ask in the router's order, hedge a late first token, go on elsewhere when one breaks.

Before the first token a failure is silent and the next candidate is asked. After it, the next candidate with the same
model file continues: same request, same seed, from the tokens that the client has; the client sees one stream. Each
attempt is a part of the request with a receipt of its own. Who goes on is for ``succession`` to say.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
import trio

from peernode.chat.errors import (
    BadRequest,
    DeadlineExceeded,
    EngineCrashed,
    JobError,
    NoProvider,
    ProviderBusy,
    ProviderFailed,
    UnknownModel,
)
from peernode.chat.events import Failed, Finished, JobEvent, Started, Usage, Waiting
from peernode.chat.job import ChatJob
from peernode.chat.route import Route
from peernode.market.attempt import Attempt
from peernode.market.candidates import Candidates
from peernode.market.desk import Ordered
from peernode.market.explanation import route_of
from peernode.market.patience import STALL_S
from peernode.market.race import Race
from peernode.market.routing.affinity import blocks_of
from peernode.market.routing.candidate import Candidate
from peernode.market.routing.demand import demand_of
from peernode.market.routing.model_names import ModelName, read_model_name
from peernode.market.routing.rank import Ranked, Ranking, rank
from peernode.market.streaming import Emit, Producer
from peernode.market.succession import HEIRS_S, MAX_BREAKS, PAUSE_S, heirs, is_deadly
from peernode.market.verdicts import Try, attempted, nobody_left, told, verdict_of
from peernode.wire.prices import Prices

log = structlog.get_logger(__name__)

# Providers that failed, and providers asked in all (being busy costs next to nothing), for one first token.
MAX_FAILED = 4
MAX_ASKED = 12
CHEAP_S = 0.5
# Between two tokens: at least this long, and so many times the expected pace.
STALL_LEAST_S = 10.0
STALL_TOKENS = 100


@dataclass(frozen=True, slots=True)
class Means:
    """What a dispatch works with. ``order`` makes the offer to a candidate, ``runner_for`` whoever carries it out."""

    candidates: Candidates
    order: Callable[[Candidate, ChatJob], Ordered]
    runner_for: Callable[[Candidate, Ordered], Producer]
    rng: random.Random


class Dispatch:
    """One request on its way. ``run`` emits its events to the last."""

    def __init__(self, means: Means, job: ChatJob, emit: Emit) -> None:
        self._means = means
        self._experience = means.candidates.experience
        self._job = replace(job, wishes=self._experience.whole(job.wishes))
        self._emit = emit
        self._began = trio.current_time()
        self._part = job.part
        self._ids: list[int] = []
        self._tries: list[Try] = []
        self._route: Route | None = None
        self._begun = self._ended = False
        self._nursery: trio.Nursery

    async def run(self) -> None:
        """Answer with the model asked for, or with those to fall back to."""
        error: JobError = NoProvider("No model was asked for.")
        # Whoever lost a race may take seconds to leave; neither the answer nor its heirs wait for that.
        async with trio.open_nursery() as self._nursery:
            for name in (self._job.model, *self._job.wishes.models):
                error = await self._answer(read_model_name(name), name)
                if self._ended:
                    return
                log.info("model_passed_over", model=name[:100], code=error.code)
            await self._fail(error)

    async def _fail(self, error: JobError) -> None:
        """The end without an answer: with all that was tried, and how the choice was made where that is asked for."""
        error.attempts, error.route = attempted(self._tries), self._route
        await self._emit(Failed(error))

    async def _answer(self, model: ModelName, name: str) -> JobError:
        """Bring the stream to its end with this model; otherwise the error why it was not even begun."""
        found = self._rank(model)
        if isinstance(found, JobError):
            return found
        attempt = await self._ask(deque(found.order), self._job_of_part(continuing=False))
        if attempt is None:
            return self._verdict(name)
        await self._see_through(attempt)
        self._ended = True
        return NoProvider("The answer has ended.")

    async def _see_through(self, attempt: Attempt) -> None:
        """Stay with an answer that has begun until it ends, whoever breaks off on the way."""
        breaks = 0
        while attempt.error is not None and not attempt.finished:
            if isinstance(attempt.error, (BadRequest, DeadlineExceeded)):
                self._note(attempt)
                await self._fail(attempt.error)
                return
            breaks += 1
            self._ids += attempt.ids
            self._note(attempt)
            log.warning("provider_lost", provider=attempt.candidate.peer, tokens=len(self._ids))
            heir = await self._heir(attempt.candidate) if breaks <= MAX_BREAKS else None
            if heir is None:
                await self._break_off()
                return
            attempt = heir

    async def _heir(self, lost: Candidate) -> Attempt | None:
        """Whoever went on where ``lost`` broke off, to its own end; None when nobody did in time."""
        give_up = trio.current_time() + HEIRS_S
        while not is_deadly(self._tries):
            now, job = trio.current_time(), self._job_of_part(continuing=True)
            order = heirs(self._means.candidates, self._job, lost, self._tries, now=now, rng=self._means.rng)
            attempt = await self._ask(order, job)
            if attempt is not None:
                return attempt
            if trio.current_time() + PAUSE_S > min(give_up, now + job.total_s):
                break
            await trio.sleep(PAUSE_S)
        return None

    def _rank(self, model: ModelName) -> Ranking | JobError:
        now, job = trio.current_time(), self._job
        candidates = self._means.candidates.for_model(model.id, job.request, now=now)
        if not candidates:
            return self._nobody(model.id)
        demand = demand_of(job.request, model.adapted(job.wishes), budget=job.max_credits)
        ranking = rank(demand, candidates, now, self._means.rng)
        self._route = route_of(ranking) if job.explain else None
        if not ranking.order:
            breakers = self._experience.breakers
            return nobody_left(ranking, model.id or "any model", lambda peer: breakers.back_in(peer, now))
        return ranking

    def _nobody(self, model: str) -> JobError:
        if not model or self._means.candidates.ever_seen(model):
            return NoProvider(
                f"Nobody offers {repr(model) if model else 'a model'} now.", remedy="Try again in a while."
            )
        return UnknownModel(f"The model {model!r} is not known here.", remedy="GET /v1/models lists those that are.")

    def _job_of_part(self, *, continuing: bool) -> ChatJob:
        """The job as the next provider gets it: what is left of the time, and the tokens that are there already."""
        job, spent = self._job, trio.current_time() - self._began
        first_s = job.first_token_s if continuing else max(job.first_token_s - spent, 0.0)
        left_s = max(job.total_s - spent, 0.0)
        earlier = (*job.continue_from, *self._ids)
        return replace(job, continue_from=earlier, first_token_s=min(first_s, left_s), total_s=left_s)

    async def _ask(self, order: deque[Ranked], job: ChatJob) -> Attempt | None:
        """Ask in turn until one begins, and stay with it until it ends. None when nobody began."""
        only_one = not self._job.wishes.allow_fallbacks and not self._job.wishes.order
        alone = only_one or not self._experience.hedging
        race, asked, before = Race(order, self._job.wishes, alone=alone), 0, len(self._tries)
        until = trio.current_time() + job.first_token_s
        while race.winner is None:
            if not race.running:
                spent = asked >= (1 if only_one else MAX_ASKED) or self._failed(since=before) >= MAX_FAILED
                spent |= is_deadly(self._tries)
                given_up = spent or trio.current_time() >= until or self._hopeless(since=before)
                other = None if given_up else race.next()
                if other is None:
                    return None
            else:
                for worse in race.worse():
                    worse.scope.cancel()
                    race.running.remove(worse)
                other = race.second_thought() if asked < MAX_ASKED else None
            if other is not None:
                self._start(race, other, job, until)
                asked += 1
            with trio.move_on_at(race.late_at()) as wait:
                await race.changed.wait()
            if wait.cancelled_caught and race.winner is None:
                asked += self._hedge(race, job, until)
        await race.winner.ended.wait()
        return race.winner

    def _hedge(self, race: Race, job: ChatJob, until: float) -> int:
        """Ask a second beside one whose first token is late, if the budget allows; how many were asked."""
        if not race.running or not self._experience.may_hedge():
            race.hedged = True
            return 0
        late, other = race.running[0], race.hedge()
        if other is None:
            return 0
        log.info("first_token_late", provider=late.candidate.peer, next=other.candidate.peer)
        self._start(race, other, job, until)
        return 1

    def _failed(self, *, since: int) -> int:
        """How many were asked in vain, apart from what cost no time: busy ones, refused dials."""
        return sum(
            isinstance(each.error, EngineCrashed)
            or (each.after_s >= CHEAP_S and not isinstance(each.error, (ProviderBusy, NoProvider)))
            for each in self._tries[since:]
        )

    def _hopeless(self, *, since: int) -> bool:
        """Whether the request itself is at fault, so that asking others with this model is in vain.

        Not once somebody has answered it: who cannot go on with that is only no heir.
        """
        return not self._begun and len(self._tries) > since and isinstance(self._tries[-1].error, BadRequest)

    def _start(self, race: Race, ranked: Ranked, job: ChatJob, until: float) -> None:
        pace, card = ranked.candidate.pace, ranked.candidate.card
        stall_s = STALL_TOKENS * (pace.decode_s + pace.crowd_s * ranked.candidate.slots)
        job = replace(
            job,
            part=self._part,
            first_token_s=until - trio.current_time(),
            stall_s=min(max(stall_s, STALL_LEAST_S), STALL_S),
        )
        self._part += 1

        async def first(attempt: Attempt) -> bool:
            return await self._won(race, attempt)

        async def told(attempt: Attempt, waiting: Waiting | None) -> None:
            race.note()
            if waiting is not None and race.winner is None and race.best() is attempt:
                await self._emit(waiting)

        attempt = Attempt(
            ranked,
            job,
            blocks=blocks_of(job.request, card.digest, salt=self._experience.salt),
            experience=self._experience,
            first=first,
            heard=self._hear,
            told=told,
        )
        race.running.append(attempt)
        self._nursery.start_soon(self._run, race, attempt)

    async def _run(self, race: Race, attempt: Attempt) -> None:
        ordered = self._means.order(attempt.candidate, attempt.job)
        try:
            await attempt.run(self._means.runner_for(attempt.candidate, ordered))
        finally:
            if attempt in race.running:
                race.running.remove(attempt)
            if race.winner is not attempt and attempt.error is not None:
                self._note(attempt)
            race.note()

    def _note(self, attempt: Attempt) -> None:
        error, candidate = attempt.error, attempt.candidate
        self._tries.append(Try(candidate.peer, candidate.card.id, trio.current_time() - attempt.sent_s, error))
        if error is not None:
            log.info("provider_passed_over", provider=candidate.peer, code=error.code, reason=str(error))

    async def _won(self, race: Race, attempt: Attempt) -> bool:
        if race.winner is not None:
            return False
        race.winner = attempt
        for other in race.running:
            if other is not attempt:
                # Whoever said that it would take so long was not late.
                other.outrun = other.sent_s < attempt.sent_s and other.wait_s() == 0
                other.scope.cancel()
        race.note()
        if not self._begun:
            self._begun = True
            card = attempt.candidate.card
            prices = Prices(card.price_prompt, card.price_cached, card.price_completion)
            started = Started(attempt.candidate.peer, card.id, attempt.markup, self._route, prices)
            await self._emit(started)
        return True

    async def _hear(self, attempt: Attempt, event: JobEvent) -> None:
        if isinstance(event, Finished):
            earlier, usage = len(attempt.job.continue_from), event.usage
            event = replace(
                event,
                usage=Usage(
                    usage.prompt_tokens - earlier,
                    usage.completion_tokens + len(self._ids),
                    min(usage.cached_tokens, usage.prompt_tokens - earlier),
                ),
            )
        await self._emit(event)

    def _verdict(self, name: str) -> JobError:
        hopeless = next((each.error for each in self._tries if isinstance(each.error, BadRequest)), None)
        return hopeless or verdict_of([each for each in self._tries if each.model == name] or self._tries)

    async def _break_off(self) -> None:
        """Nobody is left who could go on: the reason of the one that was lost, or of them all."""
        failed = [(each.peer, each.error) for each in self._tries if each.error is not None]
        if len({peer for peer, _ in failed}) == 1:
            await self._fail(failed[0][1])
            return
        sentence = "The provider was lost in the middle of its answer, and nobody is left to go on."
        await self._fail(ProviderFailed(sentence, cause=told(self._tries), remedy="Ask again."))
