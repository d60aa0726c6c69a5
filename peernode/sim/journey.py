"""One request on its way through a simulated network: the rules of ``market.dispatch`` over events instead of tasks.

Ask in order; busy or unreachable means the next; a late first token means a second beside the first, if the budget
allows; a provider that dies means that another goes on with what is left of the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from peernode.market.dispatch import LATE_LEAST_S, LATE_SHARE, MAX_ASKED, MAX_FAILED
from peernode.market.routing.track_record import Sighting
from peernode.sim.clock import Clock
from peernode.sim.coordinator import Coordinator
from peernode.sim.measures import Measures, Trail
from peernode.sim.policies import Choice, Policy
from peernode.sim.provider import Manner, Provider, Run
from peernode.sim.workload import Ask


@dataclass(frozen=True, slots=True)
class Ground:
    """What all requests of a run have in common. ``round_trips`` in seconds, by provider."""

    clock: Clock
    policy: Policy
    providers: dict[str, Provider]
    round_trips: dict[str, float]
    measures: Measures
    first_token_s: float


class Journey:
    """``then`` is called when the answer has ended, or there is none. ``counted``: whether it is measured."""

    def __init__(self, ground: Ground, who: Coordinator, ask: Ask, *, counted: bool, then: Callable[[], None]) -> None:
        self.ground, self.who, self.ask, self.counted = ground, who, ask, counted
        self.begun = self.over = False
        self._then = then
        self._began_s = ground.clock.now
        self._order: deque[Choice] = deque()
        self._running: list[Attempt] = []
        self._winner: Attempt | None = None
        self._hedged = self._swallowed = False
        self._asked = self._failed = 0
        self._lost: set[str] = set()

    @property
    def waited_s(self) -> float:
        return self.ground.clock.now - self._began_s

    def start(self) -> None:
        self.ground.measures.asked += self.counted
        self._rank()
        self.ground.clock.after(self.ground.first_token_s, self._out_of_time)
        self._next()

    def _rank(self) -> None:
        order = self.ground.policy.order(self.ask, self.who, self.ground.clock.now)
        self._order = deque(choice for choice in order if choice.candidate.peer not in self._lost)
        self._asked = self._failed = 0

    def _next(self) -> None:
        if not self._order or self._asked >= MAX_ASKED or self._failed >= MAX_FAILED:
            if not self._running:
                self._end(answered=False)
            return
        attempt = Attempt(self, self._order.popleft())
        self._asked += 1
        self._running.append(attempt)
        self._note(attempt)
        attempt.send()

    def _note(self, attempt: Attempt) -> None:
        measures, provider = self.ground.measures, attempt.provider
        lane = self.who.number, provider.model
        measures.jobs[lane] += 1
        if provider.manner is Manner.LIAR:
            trail = measures.trails.setdefault((*lane, provider.name), Trail())
            trail.places.append(measures.jobs[lane])
        if provider.manner is Manner.BLACK_HOLE and not self._swallowed:
            self._swallowed = True
            measures.swallowed += self.counted

    def late(self, attempt: Attempt) -> None:
        """Its first token should be here by now."""
        if self.over or self._hedged or self._running != [attempt] or self._winner is not None or not self._order:
            return
        self._hedged = True
        if self.who.experience.may_hedge():
            self.ground.measures.hedged += self.counted
            self._next()

    def refused(self, attempt: Attempt) -> None:
        """It had no room."""
        self._running.remove(attempt)
        self.ground.measures.refused += self.counted
        self._next()

    def broken(self, attempt: Attempt) -> None:
        """It could not be reached, or died."""
        self._running.remove(attempt)
        self._lost.add(attempt.provider.name)
        self._failed += 1
        self.ground.measures.lost += self.counted
        if self._winner is not attempt:
            self._next()
            return
        left = max(self.ask.completion_tokens - attempt.given(), 1)
        self.ask = replace(self.ask, completion_tokens=left)
        self._winner, self._hedged = None, False
        self.ground.clock.after(self.ground.first_token_s, self._out_of_time)
        self._rank()
        self._next()

    def won(self, attempt: Attempt) -> None:
        """The first of those that were asked begins."""
        self._winner = attempt
        for other in [other for other in self._running if other is not attempt]:
            self._running.remove(other)
            other.leave()
            if other.sent_s < attempt.sent_s:
                now = self.ground.clock.now
                self.who.experience.outrun(other.choice.candidate, now - other.sent_s, other.choice.first_token_s, now)
        if not self.begun:
            self.begun = True
            if self.counted:
                self.ground.measures.first_tokens.append(self.waited_s)
                self.ground.measures.hit_tokens += attempt.run.cached_tokens

    def done(self, attempt: Attempt) -> None:
        """The answer is complete."""
        self._running.remove(attempt)
        self._end(answered=True)

    def _out_of_time(self) -> None:
        if self.over or self._winner is not None:
            return
        for attempt in self._running:
            attempt.leave()
            self.who.experience.cheated(attempt.choice.candidate, self.ground.clock.now, lied=False)
        self._running.clear()
        self._end(answered=False)

    def _end(self, *, answered: bool) -> None:
        if self.over:
            return
        self.over = True
        if self.counted:
            if answered:
                self.ground.measures.answers.append(self.waited_s)
            else:
                self.ground.measures.failed += 1
            if not self.begun:
                self.ground.measures.first_tokens.append(self.ground.first_token_s)
        self._then()


class Attempt:
    """One job at one provider, from the coordinator's side. Every word takes half a round trip."""

    def __init__(self, journey: Journey, choice: Choice) -> None:
        self._journey = journey
        self._ground, self._who, ask = journey.ground, journey.who, journey.ask
        self.choice = choice
        self.provider = self._ground.providers[choice.candidate.peer]
        self.run = Run(
            ask.blocks,
            ask.prompt_tokens,
            ask.completion_tokens,
            on_first=lambda _: self._after_half(self._first),
            on_done=lambda: self._after_half(self._done),
            on_lost=lambda: self._after_half(self._broken),
        )
        self._half_s = self._ground.round_trips[self.provider.name] / 2
        self._prefill = max(ask.prompt_tokens - choice.candidate.hit_tokens, 0)
        self._first_s: float | None = None
        self._over = False
        self.sent_s = self._ground.clock.now

    def send(self) -> None:
        self._who.experience.sent(self.choice.candidate, self.run.blocks, self._prefill, self.sent_s)
        self._after_half(self._arrive)
        if self.choice.first_token_s > 0:
            share = min(self.choice.candidate.pace.late_share, LATE_SHARE)
            late_s = max(self.choice.first_token_s * share, LATE_LEAST_S)
            self._ground.clock.after(late_s, self._late)

    def leave(self) -> None:
        """It is there no more, or needed no more."""
        self._over = self.run.cancelled = True
        self._who.experience.left(self.choice.candidate, self._prefill if self._first_s is None else 0)

    def given(self) -> int:
        """How many tokens it gave so far."""
        if self._first_s is None or self.run.each_s <= 0:
            return 0
        return int((self._ground.clock.now - self._first_s) / self.run.each_s)

    def _after_half(self, happen: Callable[[], None]) -> None:
        self._ground.clock.after(self._half_s, happen)

    def _arrive(self) -> None:
        if self._over:
            return
        if not self.provider.alive:
            self._after_half(self._unreachable)
        elif not self.provider.offer(self.run):
            self._after_half(self._refused)

    def _late(self) -> None:
        if not self._over and self._first_s is None:
            self._journey.late(self)

    def _first(self) -> None:
        if self._over:
            return
        self._first_s = self._ground.clock.now
        self._who.experience.begun(self.choice.candidate, self._prefill)
        self._journey.won(self)

    def _done(self) -> None:
        if self._over or self._first_s is None:
            return
        candidate, run, now = self.choice.candidate, self.run, self._ground.clock.now
        seen = Sighting(
            run.prompt_tokens,
            run.cached_tokens,
            run.completion_tokens,
            self._first_s - self.sent_s,
            now - self.sent_s,
            beside=max(candidate.slots - candidate.free_slots, candidate.in_flight),
            queue_s=self.choice.queue_s,
            expected_first_s=self.choice.first_token_s,
            at_s=now,
        )
        self._who.experience.saw(candidate, seen, run.blocks)
        self.leave()
        self._journey.done(self)

    def _refused(self) -> None:
        if not self._over:
            self.leave()
            self._who.experience.refused(self.choice.candidate)
            self._journey.refused(self)

    def _unreachable(self) -> None:
        if not self._over:
            if (advert := self._who.offered(self.provider.model, self.provider.name)) is not None:
                self._who.suspect(advert)
            self._broken()

    def _broken(self) -> None:
        if not self._over:
            self.leave()
            self._who.experience.cheated(self.choice.candidate, self._ground.clock.now, lied=False)
            self._journey.broken(self)
