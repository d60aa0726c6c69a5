"""Pauses grow with failures and end with success; news is rationed per originator."""

import itertools
import random

from peernode.mesh.backoff import MAX_REMEMBERED, Backoff
from peernode.mesh.news_budget import NewsBudget


def test_pauses_double_up_to_a_minute_and_are_forgotten_on_success():
    backoff = Backoff(random.Random(1))
    pauses = []
    for _ in range(10):
        backoff.failed("a", 100.0)
        pauses.append(backoff.ready_at("a") - 100.0)
    assert 0.8 <= pauses[0] <= 1.2
    assert all(later > 1.3 * earlier for earlier, later in itertools.pairwise(pauses[:6]))
    assert 48 <= pauses[-1] <= 72
    backoff.succeeded("a")
    assert backoff.ready_at("a") == 0


def test_the_memory_of_failures_is_bounded():
    backoff = Backoff(random.Random(1))
    for number in range(MAX_REMEMBERED + 10):
        backoff.failed(str(number), 0.0)
    assert backoff.ready_at("0") == 0
    assert backoff.ready_at(str(MAX_REMEMBERED)) > 0


def test_news_comes_in_bursts_and_then_at_a_rate():
    budget = NewsBudget(per_second=1, burst=3)
    assert [budget.spend("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert budget.spend("b", 0.0)
    assert [budget.spend("a", 1.0), budget.spend("a", 1.0)] == [True, False]
