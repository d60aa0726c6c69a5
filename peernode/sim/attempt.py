"""One job at one provider, as the coordinator of a simulated request sees it. Every word takes half a round trip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peernode.market.race import LATE_LEAST_S, LATE_SHARE
from peernode.market.routing.rank import Ranked
from peernode.market.routing.track_record import Sighting
from peernode.sim.clock import Clock
from peernode.sim.measures import Measures
from peernode.sim.policies import Choice, Policy
from peernode.sim.provider import Provider, Run

if TYPE_CHECKING:
    from peernode.sim.journey import Journey


@dataclass(frozen=True, slots=True)
class Ground:
    """What all requests of a run have in common. ``round_trips`` in seconds, by provider."""

    clock: Clock
    policy: Policy
    providers: dict[str, Provider]
    round_trips: dict[str, float]
    measures: Measures
    first_token_s: float


class Attempt:
    """Tells ``journey`` what comes of it: ``told``, ``late``, ``refused``, ``broken``, ``won`` or ``done``."""

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
        self.turn_s: float | None = None
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
        self._over = True
        self._after_half(lambda: self.provider.cancel(self.run))
        unbegun = self._first_s is None
        self._who.experience.left(
            self.choice.candidate, self._prefill if unbegun else 0, self.run.blocks if unbegun else ()
        )

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
        elif self.provider.offer(self.run):
            if self.choice.ranked is not None:
                turn_s = self._ground.clock.now + self.provider.turn_in(self.run)
                self._after_half(lambda: self._told(turn_s))
        else:
            again_s = self.provider.again_in()
            self._after_half(lambda: self._refused(again_s))

    def _told(self, turn_s: float) -> None:
        if self._over or self._first_s is not None:
            return
        self.turn_s = turn_s
        self._who.experience.told(self.choice.candidate, turn_s - self._ground.clock.now, self._ground.clock.now)
        self._journey.told(self)

    @property
    def ranked(self) -> Ranked:
        """For one that has spoken."""
        assert self.choice.ranked is not None
        return self.choice.ranked

    @property
    def wait_s(self) -> float:
        """What is left until its turn, by its own word."""
        assert self.turn_s is not None
        return max(self.turn_s - self._ground.clock.now, 0.0)

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

    def _refused(self, again_s: float) -> None:
        if not self._over:
            self.leave()
            self._who.experience.refused(self.choice.candidate, self._ground.clock.now, again_s)
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
