"""Whom to ask first: a pure function from a demand and candidates to an order, with the terms that made it.

The score is the expected time to the end of the answer, in seconds: to the peer and back, what waits there before us,
the part of the prompt that its cache lacks, the answer; all divided by how often that peer ends what it began. To that
comes what the job costs others: who stands in a line and has a prompt computed makes those behind wait, more of them
where there are more jobs (Pigou; with selfish choices everybody crowds at the fastest, until they are no faster). The
first place among near-equals is drawn by chance between two (Mitzenmacher, "The power of two choices"): adverts are
seconds old, and whoever takes the minimum of stale numbers runs where everybody runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from peernode.chat.route import Terms
from peernode.chat.wishes import AVOID, LATENCY, PRICE, THROUGHPUT, TIME
from peernode.market.routing.candidate import Candidate
from peernode.market.routing.demand import Demand
from peernode.market.routing.filters import Excluded, cost_of, sift

# Whoever failed a job of ours this recently is asked behind those who did not (OpenRouter's rule).
HEALTHY_AFTER_S = 30.0
# Expected times that differ by less are equal: so much is known of the load of others.
NEAR_SHARE = 1.08
NEAR_S = 0.005
# A second of waiting or computing at a peer whose slots are all taken costs others so many seconds.
OTHERS = 4.0
# A price is no reason to wait this many times longer than at the fastest.
SLOW_SHARE = 4.0
SLOW_S = 2.0


class Ranked(NamedTuple):
    """One candidate and its terms. ``cost_s``: the expected time, and with it what the job costs others there."""

    candidate: Candidate
    terms: Terms
    cost_s: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """Best first. Whoever is not in ``order`` is in ``excluded`` with the reason."""

    order: list[Ranked]
    excluded: list[Excluded]


def rank(demand: Demand, candidates: Sequence[Candidate], now: float, rng: random.Random) -> Ranking:
    """The order in which to ask. ``now`` is on the clock of ``Candidate.wavered_s``; ``rng`` breaks ties."""
    left, excluded = sift(candidates, demand)
    scored = _score(demand, left, now - HEALTHY_AFTER_S)
    wishes = demand.wishes
    if wishes.sort in _SORT_KEYS:
        scored.sort(key=_SORT_KEYS[wishes.sort])
    else:
        _balance(scored, rng, priced=wishes.sort != TIME)
    if wishes.least_tps or wishes.most_first_token_s:
        scored.sort(key=lambda ranked: _misses(ranked, demand))
    if wishes.cold == AVOID:
        scored.sort(key=lambda ranked: ranked.candidate.load_s > 0)
    if wishes.order:
        places = {peer: place for place, peer in reversed(list(enumerate(wishes.order)))}
        scored.sort(key=lambda ranked: places.get(ranked.candidate.peer, len(places)))
    return Ranking(scored, excluded)


def _score(demand: Demand, candidates: Sequence[Candidate], sick_since: float) -> list[Ranked]:
    prompt, completion = demand.prompt_tokens, demand.completion_tokens
    scored = []
    new = tuple.__new__  # what a NamedTuple's own constructor calls, a step later
    for c in candidates:
        pace = c.pace
        slots = c.slots or 1
        busy = c.slots - c.free_slots
        busy = max(busy, c.in_flight)
        ahead = c.ahead if c.ahead >= 0 else busy + c.queued
        over = ahead + 1 - slots
        queue_s = c.prefill_ahead * pace.prefill_s
        if over > 0:
            queue_s = max(queue_s, over * pace.job_s / slots)
        queue_s = max(queue_s, c.delay_s)
        hit = c.hit_tokens
        prefill_s = (prompt - hit) * pace.prefill_s if hit < prompt else 0.0
        decode_s = completion * (pace.decode_s + pace.crowd_s * (ahead if over <= 0 else slots - 1))
        reliability = pace.reliability
        full = ahead / slots if over < 0 else 1.0
        first = (pace.round_trip_s + queue_s + prefill_s + c.load_s) / reliability
        expected_s = first + decode_s / reliability
        scored.append(
            new(
                Ranked,
                (
                    c,
                    new(
                        Terms,
                        (
                            expected_s,
                            first,
                            pace.round_trip_s,
                            queue_s,
                            prefill_s,
                            decode_s,
                            c.load_s,
                            reliability,
                            hit,
                            cost_of(c, demand) if c.card.price_prompt or c.card.price_completion else 0,
                            c.wavered_s < sick_since,
                        ),
                    ),
                    expected_s + OTHERS * full * (queue_s + prefill_s) / reliability,
                ),
            )
        )
    return scored


def _balance(scored: list[Ranked], rng: random.Random, *, priced: bool) -> None:
    """Healthy before others; then not much slower than the fastest; then prices by chance, 1/price²; then time.

    Where it is not ``priced``, only health and time.
    """
    if not scored:
        return
    scored.sort(key=_by_cost)
    healthy = [ranked for ranked in scored if ranked.terms.healthy]
    base = healthy or scored
    limit = base[0].cost_s * SLOW_SHARE + SLOW_S
    first = [ranked for ranked in base if ranked.cost_s <= limit]
    if len(first) > 1:
        price = first[0].terms.credits
        if priced and any(ranked.terms.credits != price for ranked in first):
            first = _by_chance_of_price(first, rng)
        else:
            _draw(first, rng)
    chosen = {id(ranked) for ranked in first} if len(first) < len(scored) else set()
    rest = [ranked for ranked in scored if id(ranked) not in chosen] if chosen else []
    rest.sort(key=_sick_last)  # stable: time decides within
    scored[:] = first + rest


def _by_chance_of_price(ranked: Sequence[Ranked], rng: random.Random) -> list[Ranked]:
    """Groups of one price in an order drawn with weights of 1/price² each; whoever is free comes first."""
    groups: dict[int, list[Ranked]] = {}
    for each in ranked:
        groups.setdefault(each.terms.credits, []).append(each)
    keyed = []
    for price, members in groups.items():
        # The largest of exponential draws to the power of 1/weight: a weighted order without replacement
        # (Efraimidis and Spirakis, 2006). The weight of a group is the sum of its members'.
        weight = len(members) / (price * price) if price else float("inf")
        keyed.append((rng.expovariate(1.0) / weight, price, members))
    ordered: list[Ranked] = []
    for _, _, members in sorted(keyed, key=lambda entry: entry[:2]):
        _draw(members, rng)
        ordered += members
    return ordered


def _draw(ranked: list[Ranked], rng: random.Random) -> None:
    """Put the better of two, drawn from those near the best, in the first place. ``ranked`` is sorted by time.

    This node itself, if it is the best, stays: its load is no stale word.
    """
    if ranked[0].candidate.local:
        return
    limit = ranked[0].cost_s * NEAR_SHARE + NEAR_S
    near = 1
    while near < len(ranked) and ranked[near].cost_s <= limit:
        near += 1
    if near > 2:
        chosen = min(rng.randrange(near), rng.randrange(near))
        ranked.insert(0, ranked.pop(chosen))
    elif near == 2 and rng.random() < 0.25:
        ranked[0], ranked[1] = ranked[1], ranked[0]


def _by_cost(ranked: Ranked) -> float:
    return ranked.cost_s


def _sick_last(ranked: Ranked) -> bool:
    return not ranked.terms.healthy


def _misses(ranked: Ranked, demand: Demand) -> int:
    wishes = demand.wishes
    slow = bool(wishes.least_tps) and ranked.candidate.pace.decode_s * wishes.least_tps > 1
    late = bool(wishes.most_first_token_s) and ranked.terms.first_token_s > wishes.most_first_token_s
    return slow + late


_SORT_KEYS: dict[str, Callable[[Ranked], tuple[float, ...]]] = {
    PRICE: lambda ranked: (ranked.terms.credits, not ranked.terms.healthy, ranked.terms.expected_s),
    THROUGHPUT: lambda ranked: (not ranked.terms.healthy, ranked.terms.decode_s, ranked.terms.expected_s),
    LATENCY: lambda ranked: (not ranked.terms.healthy, ranked.terms.first_token_s, ranked.terms.expected_s),
}
