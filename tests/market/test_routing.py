"""The order of candidates: expected time, own jobs at once, this node first among equals; who is left out, and why."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.chat.message import Image, Message
from peernode.chat.request import ChatRequest
from peernode.chat.sampling import Sampling
from peernode.chat.wishes import LATENCY, NO_WISHES, PRICE, THROUGHPUT, Wishes
from peernode.market.routing import Candidate, Pace, Ranking, demand_of, rank
from peernode.market.routing.rank import OTHERS
from tests.samples import CARD

IDLE = Candidate("a", CARD, slots=8, free_slots=8, queued=0, in_flight=0)
TEXT = ChatRequest((Message("user", "Hello"),), 100)
IMAGE = ChatRequest((Message("user", "Look"), Message("user", "here", images=(Image(0, b"x"),))))
NOW = 1000.0


def ranked(*candidates: Candidate, wishes: Wishes = NO_WISHES, seed: int = 1, request=TEXT, budget=None) -> Ranking:
    return rank(demand_of(request, wishes, budget=budget), candidates, NOW, random.Random(seed))


def order(*candidates: Candidate, wishes: Wishes = NO_WISHES, seed: int = 1) -> list[str]:
    return [each.candidate.peer for each in ranked(*candidates, wishes=wishes, seed=seed).order]


def first(*candidates: Candidate, wishes: Wishes = NO_WISHES, seed: int = 1) -> str:
    return order(*candidates, wishes=wishes, seed=seed)[0]


def priced(peer: str, prompt: int, completion: int, **more) -> Candidate:
    return replace(IDLE, peer=peer, card=replace(CARD, price_prompt=prompt, price_completion=completion), **more)


def test_whoever_is_expected_to_be_done_first_comes_first() -> None:
    slow, fast = Pace(prefill_s=0.01, decode_s=0.1), Pace(prefill_s=0.001, decode_s=0.01)
    assert order(replace(IDLE, peer="slow", pace=slow), replace(IDLE, peer="fast", pace=fast)) == ["fast", "slow"]
    far = replace(fast, round_trip_s=20.0)
    assert first(replace(IDLE, peer="far", pace=far), replace(IDLE, peer="slow", pace=slow)) == "slow"


def test_what_waits_at_a_peer_counts() -> None:
    assert first(replace(IDLE, peer="full", free_slots=0, queued=3), IDLE) == "a"
    assert first(replace(IDLE, peer="prompts", prefill_ahead=4000), IDLE) == "a"
    assert first(replace(IDLE, peer="late", delay_s=9.0), IDLE) == "a"
    assert first(replace(IDLE, peer="unloaded", load_s=20.0), IDLE) == "a"


def test_own_jobs_in_flight_count_before_an_advert_tells_of_them() -> None:
    assert first(replace(IDLE, peer="mine", in_flight=12), replace(IDLE, peer="other")) == "other"


def test_a_prefix_in_a_cache_draws_the_job_until_the_queue_outweighs_it() -> None:
    long = ChatRequest((Message("user", "x" * 8000),), 10)
    warm = replace(IDLE, peer="warm", hit_tokens=1900)
    assert ranked(warm, IDLE, request=long).order[0].candidate.peer == "warm"
    assert ranked(replace(warm, ahead=60), IDLE, request=long).order[0].candidate.peer == "a"


def test_where_many_are_a_wait_counts_for_those_behind_too() -> None:
    idle = ranked(IDLE).order[0]
    assert idle.cost_s == idle.terms.expected_s
    full = ranked(replace(IDLE, free_slots=0, queued=4)).order[0]
    waited_s = full.terms.queue_s + full.terms.prefill_s
    assert full.cost_s == pytest.approx(full.terms.expected_s + OTHERS * waited_s)
    # Nobody is slower for this job than the full one, and yet it costs all of them less.
    fast, slow = Pace(prefill_s=0.002, decode_s=0.01, job_s=4.0), Pace(prefill_s=0.002, decode_s=0.04)
    line = replace(IDLE, peer="line", pace=fast, free_slots=0, queued=3)
    calm = replace(IDLE, peer="calm", pace=slow)
    by_time = sorted(ranked(line, calm).order, key=lambda each: each.terms.expected_s)
    assert [each.candidate.peer for each in by_time] == ["line", "calm"]
    assert first(line, calm) == "calm"


def test_whoever_breaks_its_word_comes_later() -> None:
    assert first(replace(IDLE, peer="faithless", pace=Pace(reliability=0.5)), IDLE) == "a"


def test_whoever_failed_lately_is_asked_behind_all_who_did_not() -> None:
    quick = Pace(prefill_s=0.0001, decode_s=0.0001)
    sick = replace(IDLE, peer="sick", pace=quick, wavered_s=NOW - 29)
    assert order(sick, IDLE) == ["a", "sick"]
    assert order(replace(sick, wavered_s=NOW - 31), IDLE) == ["sick", "a"]


def test_between_equals_this_node_comes_first_and_the_rest_by_chance() -> None:
    assert first(IDLE, replace(IDLE, peer="here", local=True, pace=Pace(round_trip_s=-0.001))) == "here"
    wins = Counter(first(IDLE, replace(IDLE, peer="b"), replace(IDLE, peer="c"), seed=seed) for seed in range(300))
    assert min(wins[peer] for peer in "abc") > 20


def test_cheap_ones_are_drawn_by_the_inverse_square_of_their_price() -> None:
    cheap, dear = priced("cheap", 0, 10_000), priced("dear", 0, 20_000)
    wins = Counter(first(cheap, dear, seed=seed) for seed in range(1000))
    assert 750 < wins["cheap"] < 850  # four to one
    assert first(priced("free", 0, 0), cheap) == "free"


def test_a_low_price_is_no_reason_to_wait_for_ever() -> None:
    slow = priced("slow", 0, 1, pace=Pace(decode_s=5.0))
    assert {first(slow, priced("dear", 0, 10**6, pace=Pace(decode_s=0.01)), seed=seed) for seed in range(50)} == {
        "dear"
    }


def test_sorting_by_one_thing_leaves_nothing_to_chance() -> None:
    cheap = priced("cheap", 0, 10_000, pace=Pace(decode_s=0.5, round_trip_s=0.2))
    quick = priced("quick", 0, 90_000, pace=Pace(decode_s=0.01, round_trip_s=0.3))
    near = priced("near", 0, 50_000, pace=Pace(decode_s=0.6, round_trip_s=0.0))
    for seed in range(20):
        assert first(quick, near, cheap, wishes=Wishes(sort=PRICE), seed=seed) == "cheap"
        assert first(cheap, near, quick, wishes=Wishes(sort=THROUGHPUT), seed=seed) == "quick"
        assert first(cheap, near, quick, wishes=Wishes(sort=LATENCY), seed=seed) == "near"


def test_the_order_asked_for_comes_before_the_rest_or_instead_of_it() -> None:
    peers = [replace(IDLE, peer=peer) for peer in "abcd"]
    assert order(*peers, wishes=Wishes(order=("c", "a")))[:2] == ["c", "a"]
    assert order(*peers, wishes=Wishes(order=("c", "a"), allow_fallbacks=False)) == ["c", "a"]


def test_those_below_a_wished_rate_or_above_a_wished_wait_come_last_but_come() -> None:
    slow = replace(IDLE, peer="slow", pace=Pace(prefill_s=0.0, decode_s=0.2))
    late = replace(IDLE, peer="late", pace=Pace(prefill_s=0.0, decode_s=0.05, round_trip_s=30.0))
    assert order(slow, late, wishes=Wishes(least_tps=10.0)) == ["late", "slow"]
    assert order(slow, late, wishes=Wishes(most_first_token_s=5.0)) == ["slow", "late"]


def test_every_filter_names_itself_when_it_takes_the_last_candidate() -> None:
    embedding = replace(CARD, features=("embeddings",))
    told = {
        "features": ranked(IDLE, request=IMAGE),
        "chat": ranked(replace(IDLE, card=embedding)),
        "context": ranked(replace(IDLE, card=replace(CARD, context_length=50))),
        "ignore": ranked(IDLE, wishes=Wishes(ignore=("a",))),
        "only": ranked(IDLE, wishes=Wishes(only=("b",))),
        "order": ranked(IDLE, wishes=Wishes(order=("b",), allow_fallbacks=False)),
        "quantizations": ranked(IDLE, wishes=Wishes(quantizations=("fp16",))),
        "data_collection": ranked(IDLE, wishes=Wishes(deny_data_collection=True)),
        "max_price.prompt": ranked(priced("a", 9, 0), wishes=Wishes(max_price_prompt=8)),
        "max_price.completion": ranked(priced("a", 0, 9), wishes=Wishes(max_price_completion=8)),
        "credit": ranked(priced("a", 0, 10**6), budget=10),
        "shunned": ranked(replace(IDLE, shunned="circuit open for 5 s")),
        "require_parameters": ranked(
            IDLE, wishes=Wishes(require_parameters=True), request=replace(TEXT, top_logprobs=2)
        ),
    }
    for name, ranking in told.items():
        assert ranking.order == []
        assert ranking.excluded[-1].filter.name == name
        assert ranking.excluded[-1].reason.startswith(name)


def test_what_is_not_asked_for_takes_nobody_out() -> None:
    assert ranked(IDLE, request=replace(TEXT, sampling=Sampling.of(temperature=0.5))).excluded == []


def test_only_models_that_see_are_asked_about_images() -> None:
    seeing = replace(IDLE, peer="seeing", card=replace(CARD, features=("chat", "vision")))
    blind = replace(IDLE, peer="blind", card=replace(CARD, features=()))
    assert len(ranked(blind, seeing).order) == 2
    ranking = ranked(blind, seeing, request=IMAGE)
    assert [each.candidate.peer for each in ranking.order] == ["seeing"]
    assert [(each.candidate.peer, each.reason) for each in ranking.excluded] == [("blind", "features")]


@given(st.randoms(use_true_random=False))
def test_everybody_is_ranked_or_excluded_and_one_seed_gives_one_order(rng: random.Random) -> None:
    candidates = [
        priced(
            str(number),
            rng.randrange(3) * 1000,
            rng.randrange(3) * 1000,
            free_slots=rng.randrange(9),
            queued=rng.randrange(3),
            shunned=rng.choice(("", "", "circuit open")),
            wavered_s=rng.choice((float("-inf"), NOW - 5)),
        )
        for number in range(rng.randrange(1, 20))
    ]
    wishes = Wishes(sort=rng.choice(("", "", PRICE)), ignore=tuple(rng.sample("0123456789", 2)))
    once, again = ranked(*candidates, wishes=wishes, seed=7), ranked(*candidates, wishes=wishes, seed=7)
    assert once == again
    everybody = [each.candidate for each in once.order] + [each.candidate for each in once.excluded]
    assert sorted(each.peer for each in everybody) == sorted(each.peer for each in candidates)
    sick = [not each.terms.healthy for each in once.order]
    assert wishes.sort or sick == sorted(sick)
