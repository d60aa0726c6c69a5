"""Whether another is asked beside one that has said how long its line is."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from peernode.chat.message import Message
from peernode.chat.request import ChatRequest
from peernode.market.routing import Candidate, Pace, Ranked, demand_of, rank
from peernode.market.routing.second_thoughts import BETTER_S, BETTER_SHARE, cost_with, worth_asking
from tests.samples import CARD

DEMAND = demand_of(ChatRequest((Message("user", "x" * 4000),), 100))
FAST, SLOW = Pace(prefill_s=0.001, decode_s=0.01), Pace(prefill_s=0.004, decode_s=0.04)
IDLE = Candidate("fast", CARD, slots=8, free_slots=8, queued=0, pace=FAST)


def ranked(candidate: Candidate) -> Ranked:
    return rank(DEMAND, [candidate], 0.0, random.Random(1)).order[0]


def test_who_waits_as_long_as_was_expected_costs_what_was_expected() -> None:
    for candidate in (
        IDLE,
        replace(IDLE, delay_s=3.0),
        replace(IDLE, free_slots=0, queued=4),
        replace(IDLE, load_s=9.0),
    ):
        found = ranked(candidate)
        assert cost_with(found, found.terms.queue_s + found.terms.load_s) == pytest.approx(found.cost_s)


def test_a_longer_wait_counts_like_one_that_was_known() -> None:
    for candidate in (IDLE, replace(IDLE, pace=replace(FAST, reliability=0.5)), replace(IDLE, ahead=8)):
        known = ranked(replace(candidate, delay_s=5.0))
        assert cost_with(ranked(candidate), known.terms.queue_s) == pytest.approx(known.cost_s)


def test_another_is_asked_when_the_line_is_long_and_it_is_better_by_enough() -> None:
    fast, slow = ranked(IDLE), ranked(replace(IDLE, peer="slow", pace=SLOW))
    assert not worth_asking(fast, 0.0, slow)
    enough = slow.cost_s * BETTER_SHARE + BETTER_S - fast.cost_s
    assert not worth_asking(fast, enough - 0.01, slow)
    assert worth_asking(fast, enough + 0.01, slow)
    assert not worth_asking(fast, enough + 0.01, ranked(replace(IDLE, peer="full", delay_s=60.0)))
