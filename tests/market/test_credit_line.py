"""The arithmetic of a line of credit: fading, totals that only grow, limits."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from peernode.market.credit.line import Position, Terms, beyond_earned, decayed, earned_now, limit_of
from peernode.node.credit_config import CreditConfig
from tests.market.credit_world import peer

DAY_MS = 86_400_000
TERMS = Terms(newcomer=1000, growth_percent=50, half_life_ms=30 * DAY_MS, peer_cap=50_000, newcomers_cap=10_000)
NOW = 1_800_000_000_000
amounts = st.integers(0, 10**15)
times = st.integers(0, 400 * DAY_MS)
PEER = peer(1)


@given(amounts, st.integers(0, 60), st.integers(1, 10**12))
def test_each_half_life_halves(amount: int, halvings: int, half_life: int) -> None:
    assert decayed(amount, halvings * half_life, half_life) == amount >> halvings


@given(amounts, times, times, st.integers(1, 400 * DAY_MS))
def test_fading_in_two_steps_is_fading_in_one(amount: int, first: int, second: int, half_life: int) -> None:
    once = decayed(amount, first + second, half_life)
    twice = decayed(decayed(amount, first, half_life), second, half_life)
    # Each step rounds down, by a unit and by what 2^-32 of a half-life is worth.
    assert abs(once - twice) <= 3 + (amount >> 30)


@given(st.lists(times, min_size=2, max_size=8).map(sorted), amounts)
def test_what_fades_never_grows(moments: list[int], amount: int) -> None:
    kept = [decayed(amount, moment, TERMS.half_life_ms) for moment in moments]
    assert all(later <= earlier <= amount for earlier, later in pairwise(kept))


def test_a_clock_that_went_back_takes_nothing() -> None:
    assert decayed(100, -5, DAY_MS) == 100


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=12), st.randoms())
def test_vouchers_may_come_late_twice_and_in_any_order(totals: list[int], random: object) -> None:
    shuffled = [*totals, *totals]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    position = Position()
    for total in shuffled:
        after = position.gave(total, NOW).took(total, NOW, TERMS).was_paid(total, NOW, TERMS).has_repaid(total, NOW)
        assert after.given >= position.given
        assert after.taken >= position.taken
        position = after
    most = max(totals)
    assert (position.given, position.taken, position.paid, position.repaid) == (most, most, most, most)
    assert position.balance == 0


@given(amounts, amounts, amounts, amounts)
def test_service_in_the_other_direction_is_set_off(given: int, taken: int, paid: int, repaid: int) -> None:
    mine = Position(given, taken, paid, repaid)
    theirs = Position(taken, given, repaid, paid)
    assert mine.balance == -theirs.balance == given - paid - taken + repaid


@given(st.lists(st.tuples(st.sampled_from(["settled", "served"]), st.integers(1, 10**6), times), max_size=12))
def test_no_line_is_longer_than_its_cap_or_shorter_than_a_newcomers(happenings: list[tuple[str, int, int]]) -> None:
    position, now, settled, served = Position(), NOW, 0, 0
    for kind, amount, later in happenings:
        now += later
        if kind == "settled":
            settled += amount
            position = position.was_paid(settled, now, TERMS)
        else:
            served += amount
            position = position.took(served, now, TERMS)
        limit = limit_of(PEER, position, now, TERMS)
        assert limit is not None
        assert TERMS.newcomer <= limit <= TERMS.peer_cap
        assert earned_now(position, now, TERMS) <= (settled + served) * TERMS.growth_percent // 100


def test_a_line_grows_with_what_was_settled_and_fades_with_silence() -> None:
    position = Position(given=4000).was_paid(4000, NOW, TERMS)
    assert limit_of(PEER, position, NOW, TERMS) == 1000 + 2000
    assert limit_of(PEER, position, NOW + TERMS.half_life_ms, TERMS) == 1000 + 1000
    assert limit_of(PEER, position, NOW + 40 * TERMS.half_life_ms, TERMS) == 1000


def test_who_goes_on_trading_keeps_its_line() -> None:
    position, now = Position(), NOW
    for month in range(1, 25):
        position = position.was_paid(1000 * month, now, TERMS)
        now += TERMS.half_life_ms
    assert earned_now(position, now, TERMS) in range(490, 501)  # 500 a month, halved each month: 250 + 125 + …


def test_debts_themselves_never_fade() -> None:
    position = Position().gave(900, NOW)
    assert position.balance == 900
    assert limit_of(PEER, position, NOW + 100 * TERMS.half_life_ms, TERMS) == 1000


@pytest.mark.parametrize(("own", "limit"), [(0, 0), (7, 7), (None, None)])
def test_the_operators_word_stands_above_all(own: int | None, limit: int | None) -> None:
    terms = Terms(own_limits={PEER: own})
    position = Position().was_paid(10**9, NOW, terms)
    assert limit_of(PEER, position, NOW, terms) == limit
    assert beyond_earned(PEER, Position(given=10**9), 0, NOW, terms) == 0


@given(amounts, amounts, amounts)
def test_what_is_beyond_earned_is_what_trust_alone_carries(given: int, settled: int, held: int) -> None:
    position = Position(given=given).was_paid(settled, NOW, TERMS)
    beyond = beyond_earned(PEER, position, held, NOW, TERMS)
    assert beyond == max(0, position.balance + held - earned_now(position, NOW, TERMS))


CREDIT = 1_000_000


def test_the_worked_table_of_the_document() -> None:
    """docs/credit.md, section "The line"."""
    text = (Path(__file__).parents[2] / "docs" / "credit.md").read_text()
    terms, now = Terms(), NOW
    position = Position()
    steps: list[tuple[str, Callable[[Position], Position], int]] = [
        ("a stranger comes", lambda p: p, 0),
        ("it takes 0.9 credits of service", lambda p: p.gave(900_000, now), 0),
        ("it settles 0.9", lambda p: p.was_paid(900_000, now, terms), 0),
        ("it serves us for 4 credits", lambda p: p.took(4 * CREDIT, now, terms), 0),
        ("it takes 7 credits", lambda p: p.gave(7_900_000, now), 0),
        ("it settles 3", lambda p: p.was_paid(3_900_000, now, terms), 0),
        ("30 days of silence", lambda p: p, 30),
        ("330 days more", lambda p: p, 330),
    ]
    for what, happens, days in steps:
        now += days * DAY_MS
        position = happens(position)
        row = next(line for line in text.splitlines() if line.startswith(f"| {what} |"))
        said = [cell.strip().replace("−", "-") for cell in row.split("|")[2:5]]
        earned, limit = earned_now(position, now, terms), limit_of(PEER, position, now, terms)
        assert limit is not None
        for cell, value in zip(said, (position.balance, earned, limit), strict=True):
            assert abs(float(cell) - value / CREDIT) < 0.00001, (what, cell, value)


def test_the_defaults_of_the_document_are_those_of_the_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "credit.md").read_text()
    settings = tomllib.loads(text.partition("```toml\n")[2].partition("```")[0])["credit"]
    terms = Terms()
    assert settings["newcomer"] == terms.newcomer
    assert settings["growth_percent"] == terms.growth_percent
    assert settings["half_life_days"] * DAY_MS == terms.half_life_ms
    assert settings["peer_cap"] == terms.peer_cap
    assert settings["newcomers_cap"] == terms.newcomers_cap
    assert CreditConfig().terms() == terms


def test_a_configuration_names_real_peers_and_each_once() -> None:
    friend = peer(3)
    assert CreditConfig(trusted=(friend,)).terms().own_limits == {friend: None}
    assert CreditConfig(limits={friend: 0}).terms().own_limits == {friend: 0}
    for wrong in ({"trusted": ("nobody",)}, {"limits": {"nobody": 1}}, {"trusted": (friend,), "limits": {friend: 1}}):
        with pytest.raises(ValidationError):
            CreditConfig(**wrong)  # type: ignore[arg-type]
