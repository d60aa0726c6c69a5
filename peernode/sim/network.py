"""A simulated network: providers that speak now and then, coordinators that hear them, clients that ask, and time."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from functools import partial

from peernode.market.routing.affinity import BLOCK_TOKENS
from peernode.sim.attempt import Ground
from peernode.sim.cache import Cache
from peernode.sim.clock import Clock
from peernode.sim.coordinator import Coordinator
from peernode.sim.journey import Journey
from peernode.sim.measures import Measures
from peernode.sim.policies import Policy
from peernode.sim.provider import Manner, Provider
from peernode.sim.scenario import Scenario
from peernode.sim.workload import ANSWER_TOKENS, TURN_S, Agent, Ask, Workload, new_tokens, popularity
from peernode.wire.advert import ADVERT_DIGEST_BYTES, MAX_LEASE_MS, Advert, ModelCard, SignedAdvert
from peernode.wire.renewal import Renewal, SignedRenewal

# Tokens per second of the slowest node, and how much longer a token takes for each job beside.
SLOWEST_PREFILL_TPS = 300.0
SLOWEST_DECODE_TPS = 15.0
CROWDING = 0.1
LIE = 100
SLOWDOWN = 10
LEASE_PERIODS = 3
NETWORK = "sim"
BURST_EVERY_S = 20.0
BURST_PART = 0.25


class Network:
    """One run of one scenario with one policy. Everything by chance comes from the scenario's seed."""

    def __init__(self, scenario: Scenario, make_policy: Callable[[Mapping[str, Provider]], Policy]) -> None:
        self.scenario = scenario
        self.clock = Clock()
        self.measures = Measures()
        self.providers: dict[str, Provider] = {}
        self._round_trips: dict[str, float] = {}
        self._rng = random.Random(f"{scenario.seed}/nodes")
        self._arrivals = random.Random(f"{scenario.seed}/arrivals")
        self._churn = random.Random(f"{scenario.seed}/churn")
        self._models = tuple(f"model-{number}" for number in range(scenario.models))
        self._seen: dict[str, set[bytes]] = {model: set() for model in self._models}
        self._open: dict[Journey, None] = {}
        self.coordinators = [
            Coordinator(
                number,
                rng=random.Random(f"{scenario.seed}/coordinator/{number}"),
                round_trip=self._round_trips.get,
                most_peers=4 * scenario.nodes,
            )
            for number in range(scenario.coordinators)
        ]
        self._ground = Ground(
            self.clock,
            make_policy(self.providers),
            self.providers,
            self._round_trips,
            self.measures,
            scenario.first_token_s,
        )
        self._settle_all()
        # Every model is asked for as often as its nodes can bear, so that none is overloaded by bad luck with speeds.
        self._workload = Workload(scenario, {model: self.capacity(model) for model in self._models})

    def run(self) -> Measures:
        """To the end of the scenario's time."""
        scenario = self.scenario
        most = max(scenario.burst, 1.0)
        rate = self.capacity() * scenario.load / self._workload.asks_for_each_begun()
        calm = (1 - BURST_PART * scenario.burst) / (1 - BURST_PART)

        def arrive() -> None:
            bursting = self.clock.now % BURST_EVERY_S < BURST_EVERY_S * BURST_PART
            if self._arrivals.random() < (scenario.burst if bursting else calm) / most:
                self._begin()
            self.clock.after(self._arrivals.expovariate(rate * most), arrive)

        for agent in self._workload.under_way(rate):
            self.clock.at(agent.rng.uniform(0, TURN_S), partial(self._turn, self._coordinator(), agent))
        self.clock.after(0.0, arrive)
        if scenario.churn:
            self._die_after_a_while()
        self.clock.run(scenario.seconds)
        for journey in self._open:  # who still waits has waited at least so long
            if journey.counted and not journey.begun:
                self.measures.first_tokens.append(journey.waited_s)
        slots = sum(provider.slots for provider in self.providers.values())
        used = sum(
            provider.slot_seconds + sum(scenario.seconds - since for since in provider.running.values())
            for provider in self.providers.values()
        )
        self.measures.busy = used / (slots * scenario.seconds)
        return self.measures

    def capacity(self, model: str = "") -> float:
        """Requests per second that all nodes (with ``model``) can answer together, with caches used well.

        Prompts are computed one after the other, answers side by side: whichever is full first.
        """
        new = new_tokens(self.scenario)
        total = 0.0
        for provider in self.providers.values():
            if provider.manner is not Manner.BLACK_HOLE and model in ("", provider.model):
                prefill_s = new * provider.prefill_s
                each_s = provider.decode_s + provider.crowd_s * (provider.slots - 1)
                total += min(1 / prefill_s, provider.slots / (prefill_s + ANSWER_TOKENS * each_s))
        return total

    def _settle_all(self) -> None:
        scenario = self.scenario
        manners = [
            manner
            for manner, share in (
                (Manner.LIAR, scenario.liars),
                (Manner.BLACK_HOLE, scenario.black_holes),
                (Manner.SLOW, scenario.slow),
            )
            for _ in range(round(share * scenario.nodes) or (share > 0))
        ]
        manners += [Manner.HONEST] * (scenario.nodes - len(manners))
        self._rng.shuffle(manners)
        shares, settled = popularity(len(self._models)), 0.0
        for model, share in zip(self._models, shares, strict=True):
            first, settled = round(settled * scenario.nodes), settled + share
            for manner in manners[first : round(settled * scenario.nodes)]:
                self._settle(model, manner)

    def _settle(self, model: str, manner: Manner) -> None:
        scenario, rng = self.scenario, self._rng
        name = f"node-{len(self.providers)}"
        speed = scenario.speed_ratio ** rng.random()
        if manner is Manner.LIAR:
            speed = 1.0
        if manner is Manner.SLOW:
            speed /= SLOWDOWN
        decode_s = 1 / (SLOWEST_DECODE_TPS * speed)
        self.providers[name] = Provider(
            name,
            model,
            self.clock,
            prefill_s=1 / (SLOWEST_PREFILL_TPS * speed),
            decode_s=decode_s,
            crowd_s=CROWDING * decode_s,
            slots=scenario.slots,
            queue_limit=scenario.queue_limit,
            cache=Cache(scenario.cache_tokens // BLOCK_TOKENS),
            manner=manner,
        )
        self._round_trips[name] = rng.uniform(*scenario.round_trip_s)
        period_s = rng.uniform(*scenario.stale_s)
        self._speak(self.providers[name], period_s, first_in_s=rng.uniform(0, period_s))

    def _speak(self, provider: Provider, period_s: float, *, first_in_s: float) -> None:
        """An advert now, and a renewal every ``period_s``, as long as it lives."""
        digest = hashlib.blake2b(provider.name.encode(), digest_size=ADVERT_DIGEST_BYTES).digest()
        lease_ms = min(round(period_s * LEASE_PERIODS * 1000), MAX_LEASE_MS)
        self._tell(SignedAdvert(self._advert(provider, lease_ms), b"", digest), 0.0)

        def renew() -> None:
            if provider.alive:
                provider.word += 1
                free, queued = _load(provider)
                issued_ms = round(self.clock.now * 1000)
                body = Renewal(NETWORK, provider.name, provider.word, issued_ms, lease_ms, free, queued, digest)
                delay_s = self._rng.uniform(*self.scenario.heard_after_s)
                self.clock.after(delay_s, lambda: self._tell(SignedRenewal(body, b""), delay_s))
                self.clock.after(period_s, renew)

        self.clock.after(first_in_s, renew)

    def _tell(self, word: SignedAdvert | SignedRenewal, age_s: float) -> None:
        for coordinator in self.coordinators:
            coordinator.hear(word, now=self.clock.now, age_s=age_s)

    def _advert(self, provider: Provider, lease_ms: int) -> Advert:
        times = {Manner.LIAR: LIE, Manner.SLOW: SLOWDOWN}.get(provider.manner, 1)
        card = ModelCard(
            provider.model,
            hashlib.sha256(provider.model.encode()).digest(),
            "llama",
            1,
            "Q4_K_M",
            8192,
            decode_tps=round(times / provider.decode_s),
            prefill_tps=round(times / provider.prefill_s),
        )
        provider.word += 1
        free, queued = _load(provider)
        issued_ms = round(self.clock.now * 1000)
        return Advert(
            NETWORK, provider.name, provider.word, issued_ms, lease_ms, (), "0", provider.slots, free, queued, (card,)
        )

    def _die_after_a_while(self) -> None:
        per_s = self.scenario.churn * self.scenario.nodes / 60
        self.clock.after(self._churn.expovariate(per_s), self._die)

    def _die(self) -> None:
        dying = self._churn.choice([provider for provider in self.providers.values() if provider.alive])
        dying.die()
        self._settle(dying.model, Manner.HONEST)
        self._die_after_a_while()

    def _begin(self) -> None:
        who = self._coordinator()
        begun = self._workload.begin()
        if isinstance(begun, Agent):
            self._turn(who, begun)
        else:
            self._ask(who, begun, lambda: None)

    def _coordinator(self) -> Coordinator:
        return self.coordinators[self._arrivals.randrange(len(self.coordinators))]

    def _turn(self, who: Coordinator, agent: Agent) -> None:
        def then() -> None:
            if agent.turns_left > 0:
                self.clock.after(agent.pause_s(), lambda: self._turn(who, agent))

        self._ask(who, agent.ask(), then)

    def _ask(self, who: Coordinator, ask: Ask, then: Callable[[], None]) -> None:
        scenario, seen = self.scenario, self._seen[ask.model]
        counted = scenario.warm_up_s <= self.clock.now < scenario.seconds - scenario.cool_down_s
        if counted:
            known = next((place for place, block in enumerate(ask.blocks) if block not in seen), len(ask.blocks))
            self.measures.seen_tokens += known * BLOCK_TOKENS
            self.measures.prompt_tokens += ask.prompt_tokens
        seen.update(ask.blocks)

        def over() -> None:
            del self._open[journey]
            then()

        journey = Journey(self._ground, who, ask, counted=counted, then=over)
        self._open[journey] = None
        journey.start()


def _load(provider: Provider) -> tuple[int, int]:
    """(free slots, jobs that wait), as it says itself."""
    if provider.manner is Manner.LIAR:
        return provider.slots, 0
    return provider.slots - len(provider.running), sum(not run.cancelled for run in provider.queue)
