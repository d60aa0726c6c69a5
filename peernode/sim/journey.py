"""One request on its way through a simulated network: the rules of ``market.dispatch`` over events instead of tasks.

Ask in order; busy or unreachable means the next; a late first token means a second beside the first, if the budget
allows; a provider that dies means that another goes on with what is left of the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from peernode.market.dispatch import MAX_ASKED, MAX_FAILED
from peernode.market.routing.second_thoughts import MOST_BESIDE, cost_with, worth_asking
from peernode.sim.attempt import Attempt, Ground
from peernode.sim.coordinator import Coordinator
from peernode.sim.measures import Trail
from peernode.sim.policies import Choice
from peernode.sim.provider import Manner
from peernode.sim.workload import Ask


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
        self._hedged = self._swallowed = self._comparing = False
        self._asked = self._failed = self._beside = 0
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

    def told(self, attempt: Attempt) -> None:
        """It has said when its turn comes: keep the better of two, or ask another beside it."""
        if self.over or self._winner is not None:
            return
        spoken = [each for each in self._running if each.turn_s is not None]
        if self._comparing and len(spoken) == len(self._running) > 1:
            self._comparing = False
            worse = max(spoken, key=lambda each: cost_with(each.ranked, each.wait_s))
            self._running.remove(worse)
            worse.leave()
            spoken.remove(worse)
            self.ground.measures.moved += self.counted
        if len(self._running) == 1 and spoken and self._beside < MOST_BESIDE and self._order:
            best, other = spoken[0], self._order[0]
            if other.ranked is not None and worth_asking(best.ranked, best.wait_s, other.ranked):
                self._beside += 1
                self._comparing = True
                self._next()

    def refused(self, attempt: Attempt) -> None:
        """It had no room."""
        self._running.remove(attempt)
        self.ground.measures.refused += self.counted
        if not self._running:
            self._next()

    def broken(self, attempt: Attempt) -> None:
        """It could not be reached, or died."""
        self._running.remove(attempt)
        self._lost.add(attempt.provider.name)
        self._failed += 1
        self.ground.measures.lost += self.counted
        if self._winner is not attempt:
            if not self._running:
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
            if other.sent_s < attempt.sent_s and not (other.turn_s and other.wait_s):
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
