"""Prices that follow the speed: twice as slow, twice the price; bounded, in steps, and without flapping."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.market.auto_price import GRACE_S, HOLD_S, STEP, AutoPrice, Reference
from peernode.wire.prices import Prices

BASE = Prices(100_000, 25_000, 400_000)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def price(clock: Clock | None = None, **reference: float) -> AutoPrice:
    return AutoPrice(BASE, Reference(**reference), clock=clock or Clock())


def test_at_the_reference_speed_and_before_anything_is_measured_the_configured_prices_hold() -> None:
    auto = price()
    assert auto.quote(0, 0) == BASE
    assert auto.quote(20, 200) == BASE
    assert auto.quote(0, 0) == BASE


@pytest.mark.parametrize("slower", [0.5, 0.8, 1.25, 2, 3])
def test_as_much_slower_so_much_dearer_to_within_a_step(slower: float) -> None:
    asked = price().quote(20 / slower, 200 / slower)
    for now, then in ((asked.prompt, 100_000), (asked.cached, 25_000), (asked.completion, 400_000)):
        assert slower / STEP**0.51 <= now / then <= slower * STEP**0.51


def test_prompts_and_completions_follow_their_own_speeds() -> None:
    asked = price().quote(10, 200)
    assert (asked.prompt, asked.cached) == (100_000, 25_000)
    assert asked.completion == round(400_000 * STEP**3)


def test_an_unmeasured_rate_leaves_its_price_alone() -> None:
    assert price().quote(0, 100) == Prices(round(100_000 * STEP**3), round(25_000 * STEP**3), 400_000)


def test_bounds() -> None:
    assert price(most=2.0).quote(0.01, 0.01) == Prices(200_000, 50_000, 800_000)
    assert price(least=0.5).quote(10_000, 1e9) == Prices(50_000, 12_500, 200_000)


@given(st.lists(st.floats(0.9, 1.1), max_size=50))
def test_a_speed_that_wavers_by_a_tenth_changes_no_price(noise: list[float]) -> None:
    clock = Clock()
    auto = price(clock)
    first = auto.quote(10, 100)
    for each in noise:
        clock.now_s += 10 * HOLD_S
        assert auto.quote(10 * each, 100 / each) == first


@given(st.lists(st.floats(0.1, 1000), max_size=60))
def test_prices_change_at_most_once_in_ten_minutes_whatever_is_measured(speeds: list[float]) -> None:
    clock = Clock()
    auto = price(clock)
    changed_s, before = [], auto.quote(20, 200)
    for speed in speeds:
        clock.now_s += 60
        asked = auto.quote(speed, 10 * speed)
        if asked != before:
            changed_s.append(clock.now_s)
        before = asked
    assert all(later - sooner >= HOLD_S for sooner, later in itertools.pairwise(changed_s))


def test_offers_at_the_price_before_are_taken_for_as_long_as_their_advert_was_news() -> None:
    clock = Clock()
    auto = price(clock)
    assert auto.quote(0, 0) == BASE
    dearer = auto.quote(5, 50)
    assert dearer != BASE
    assert auto.honours(dearer)
    assert auto.honours(BASE)
    assert not auto.honours(Prices(1, 1, 1))
    clock.now_s += GRACE_S
    assert auto.honours(dearer)
    assert not auto.honours(BASE)
