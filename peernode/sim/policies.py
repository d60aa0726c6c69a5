"""Ways to choose a provider: the product's own, and those that it is held against.

All of them have the product's leases, circuit breakers, retries and deadlines; only the order differs, and that who
expects nothing cannot tell what is late, so only the product hedges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from peernode.market.dispatch import MAX_ASKED
from peernode.market.routing import Candidate, Demand, rank
from peernode.market.routing.affinity import BLOCK_TOKENS
from peernode.market.routing.rank import OTHERS, Ranked
from peernode.sim.coordinator import Coordinator
from peernode.sim.provider import Manner, Provider
from peernode.sim.workload import EXPECTED_ANSWER, Ask
from peernode.wire.advert import Advert


class Choice(NamedTuple):
    """Somebody to ask. ``first_token_s``: expected after so long, of which ``queue_s`` behind others; 0: unknown.

    ``ranked`` is there for who heeds what is said to an offer.
    """

    candidate: Candidate
    first_token_s: float = 0.0
    queue_s: float = 0.0
    ranked: Ranked | None = None


class Policy(Protocol):
    """``order`` says whom to ask for a request, the first first; ``who`` is what the asking node knows."""

    def order(self, ask: Ask, who: Coordinator, now: float) -> list[Choice]: ...


class Peernode:
    """The product's router. Without ``affine`` it remembers no prompts.

    Who does not ``listen`` knows adverts alone, not what providers say of their lines when they are asked.
    """

    def __init__(self, *, affine: bool = True, listens: bool = True) -> None:
        self._affine = affine
        self._listens = listens

    def order(self, ask: Ask, who: Coordinator, now: float) -> list[Choice]:
        experience = who.experience
        hits = experience.affinity.hits(ask.blocks, now) if self._affine else {}
        candidates = [
            experience.candidate(
                advert, advert.models[0], word=advert.seq, now=now, hits=hits.get(peer, 0) * BLOCK_TOKENS
            )
            for peer, advert in who.offers.get(ask.model, {}).items()
        ]
        ranking = rank(Demand(ask.prompt_tokens, EXPECTED_ANSWER), candidates, now, experience.rng)
        return [
            Choice(
                ranked.candidate,
                ranked.terms.first_token_s,
                ranked.terms.queue_s,
                ranked if self._listens else None,
            )
            for ranked in ranking.order[:MAX_ASKED]
        ]


class RoundRobin:
    """Everybody in turn."""

    def order(self, ask: Ask, who: Coordinator, now: float) -> list[Choice]:
        adverts = list(who.offers.get(ask.model, {}).values())
        who.turns[ask.model] += 1
        start = who.turns[ask.model] % max(len(adverts), 1)
        return _choices(adverts[start:] + adverts[:start], who, now)


class LeastConnections:
    """Whoever has the fewest jobs: by its last word, or of our own if those are more."""

    def order(self, ask: Ask, who: Coordinator, now: float) -> list[Choice]:
        adverts = list(who.offers.get(ask.model, {}).values())
        who.rng.shuffle(adverts)
        return _choices(sorted(adverts, key=lambda advert: _jobs(advert, who)), who, now)


class PowerOfTwo:
    """The less loaded of two that are drawn by chance."""

    def order(self, ask: Ask, who: Coordinator, now: float) -> list[Choice]:
        adverts = list(who.offers.get(ask.model, {}).values())
        drawn = who.rng.sample(adverts, min(2 * MAX_ASKED, len(adverts)))
        pairs = [drawn[at : at + 2] for at in range(0, len(drawn), 2)]
        return _choices((min(pair, key=lambda advert: _jobs(advert, who)) for pair in pairs), who, now)


class Omniscient:
    """Knows the true speed, load and cache of everybody at this moment, and takes whoever ends the answer first.

    With ``others`` it also reckons what that costs others, as the product does (``rank.OTHERS``).
    """

    def __init__(self, providers: Mapping[str, Provider], *, others: float = 0.0) -> None:
        self._providers = providers
        self._others = others

    def order(self, ask: Ask, who: Coordinator, now: float) -> list[Choice]:
        def cost(advert: Advert) -> float:
            provider = self._providers[advert.peer]
            first_s = provider.first_token_in(ask.blocks, ask.prompt_tokens)
            full = min((len(provider.running) + len(provider.queue)) / provider.slots, 1.0)
            return first_s * (1 + self._others * full) + provider.answer_in()

        return _choices(sorted(_alive(ask, who, self._providers), key=cost), who, now)


class HitsAlone:
    """An oracle of caches: knows all of them and takes the most hits, whatever the wait; the shorter wait of equals."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    def order(self, ask: Ask, who: Coordinator, now: float) -> list[Choice]:
        def held(advert: Advert) -> tuple[int, float]:
            provider = self._providers[advert.peer]
            return -provider.cache.held(ask.blocks), provider.first_token_in(ask.blocks, ask.prompt_tokens)

        return _choices(sorted(_alive(ask, who, self._providers), key=held), who, now)


def _jobs(advert: Advert, who: Coordinator) -> int:
    return max(advert.slots - advert.free_slots + advert.queued, who.experience.in_flight[advert.peer])


def _alive(ask: Ask, who: Coordinator, providers: Mapping[str, Provider]) -> list[Advert]:
    return [
        advert
        for peer, advert in who.offers.get(ask.model, {}).items()
        if providers[peer].alive and providers[peer].manner is not Manner.BLACK_HOLE
    ]


def _choices(adverts: Iterable[Advert], who: Coordinator, now: float) -> list[Choice]:
    """The first of them whose circuits are closed."""
    chosen: list[Choice] = []
    for advert in adverts:
        if len(chosen) == MAX_ASKED:
            break
        if not who.experience.breakers.shunned(advert.peer, now):
            chosen.append(
                Choice(Candidate(advert.peer, advert.models[0], advert.slots, advert.free_slots, advert.queued))
            )
    return chosen


OURS = "peernode"
ROUND_ROBIN = "round robin"
LEAST_CONNECTIONS = "least connections"
POWER_OF_TWO = "power of two"
OMNISCIENT = "omniscient"
OMNISCIENT_KIND = "omniscient, our rule"
HITS_ALONE = "hits alone"
ADVERTS_ALONE = "peernode, adverts alone"
FORGETFUL = "peernode, no affinity"

POLICIES: dict[str, Callable[[Mapping[str, Provider]], Policy]] = {
    ROUND_ROBIN: lambda _: RoundRobin(),
    LEAST_CONNECTIONS: lambda _: LeastConnections(),
    POWER_OF_TWO: lambda _: PowerOfTwo(),
    FORGETFUL: lambda _: Peernode(affine=False),
    ADVERTS_ALONE: lambda _: Peernode(listens=False),
    OURS: lambda _: Peernode(),
    OMNISCIENT: Omniscient,
    OMNISCIENT_KIND: lambda providers: Omniscient(providers, others=OTHERS),
    HITS_ALONE: HitsAlone,
}
