"""The circuit of one peer: closed, open after two failures, half open for one probe, longer open each time."""

from __future__ import annotations

import random

from peernode.market.routing.breaker import FIRST_OPEN_S, JITTER, LONGEST_OPEN_S, WITHIN_S, Breaker, Breakers, Circuit


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(2):
        breaker.failed(at, random.Random(1))
    return breaker


def test_one_failure_opens_nothing_and_a_success_forgets_it() -> None:
    breaker = Breaker()
    breaker.failed(0.0, random.Random(1))
    assert breaker.state(0.0) is Circuit.CLOSED
    breaker.succeeded()
    breaker.failed(1.0, random.Random(1))
    assert breaker.permits(1.0)


def test_failures_far_apart_open_nothing() -> None:
    breaker = Breaker()
    for number in range(5):
        breaker.failed(number * (WITHIN_S + 1), random.Random(1))
    assert breaker.state(300.0) is Circuit.CLOSED


def test_two_failures_open_the_circuit_for_a_while_and_then_one_probe_may_pass() -> None:
    breaker = opened()
    assert not breaker.permits(FIRST_OPEN_S - 0.1)
    after = FIRST_OPEN_S * (1 + JITTER)
    assert breaker.state(after) is Circuit.HALF_OPEN
    assert breaker.permits(after)
    breaker.sent(after)
    assert not breaker.permits(after)


def test_a_probe_that_succeeds_closes_it_and_one_that_fails_opens_it_for_longer() -> None:
    breaker = opened()
    breaker.sent(10.0)
    breaker.succeeded()
    assert breaker.state(10.0) is Circuit.CLOSED
    breaker = opened()
    breaker.sent(10.0)
    breaker.failed(10.0, random.Random(1))
    assert not breaker.permits(10.0 + 2 * FIRST_OPEN_S - 0.1)
    for number in range(20):
        breaker.failed(1000.0 * (number + 1), random.Random(1))
    assert not breaker.permits(20_000.0 + LONGEST_OPEN_S - 1)
    assert breaker.permits(20_000.0 + LONGEST_OPEN_S * (1 + JITTER))


def test_a_probe_that_came_to_nothing_lets_the_next_one_pass() -> None:
    breaker = opened()
    breaker.sent(10.0)
    breaker.abandoned()
    assert breaker.permits(10.0)


def test_a_lie_is_enough_by_itself() -> None:
    breaker = Breaker()
    breaker.failed(0.0, random.Random(1), at_once=True)
    assert breaker.state(0.0) is Circuit.OPEN


def test_a_wish_to_be_left_alone_is_heard_and_is_no_failure() -> None:
    breaker = Breaker()
    breaker.retry_after(0.0, 7.0)
    assert not breaker.permits(6.9)
    breaker.sent(7.1)
    assert breaker.permits(7.1)  # and not one at a time, as after failures
    assert breaker.failures == 0
    assert (breaker.back_in(2.0), breaker.back_in(8.0)) == (5.0, 0.0)


def test_whoever_is_shunned_is_told_why() -> None:
    breakers = Breakers()
    assert breakers.shunned("a", 0.0) == ""
    for _ in range(2):
        breakers.of("a").failed(0.0, random.Random(1))
    assert "circuit open for" in breakers.shunned("a", 0.0)
    breakers.of("a").sent(100.0)
    assert "probe" in breakers.shunned("a", 100.0)
    breakers.of("b").retry_after(0.0, 7.0)
    assert breakers.shunned("b", 2.0) == "busy for 5 s, by its own word"
    assert (breakers.back_in("b", 2.0), breakers.back_in("nobody", 2.0)) == (5.0, 0.0)
