"""Wishes on their way through a dispatch: who stands in for whom, what is told of vain attempts and of the choice."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from peernode.chat.errors import BadRequest, EngineCrashed, JobError, NoProvider, ProviderBusy, ProviderFailed
from peernode.chat.events import Failed, Finished, JobEvent, Started, Tokens
from peernode.chat.wishes import NO_WISHES, PRICE, TIME, Wishes
from peernode.market import dispatch
from peernode.market.explanation import route_of
from peernode.market.routing import Candidate, Demand, Pace, rank
from peernode.market.routing.model_names import read_model_name
from tests.market.scripted import ScriptedEngine, collect
from tests.market.test_failover import WORDS, breaking, job, network
from tests.samples import CARD


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heirs are waited for only as long as it takes to ask each of them."""
    monkeypatch.setattr(dispatch, "HEIRS_S", 0.0)


def failed(events: list[JobEvent]) -> JobError:
    assert isinstance(events[-1], Failed)
    return events[-1].error


def refusing(error: JobError) -> ScriptedEngine:
    engine = ScriptedEngine(WORDS)
    engine.refusal = error
    return engine


async def test_an_error_names_everybody_who_was_asked_in_vain(tmp_path: Path) -> None:
    engines = [refusing(EngineCrashed("dead")), refusing(ProviderBusy("full"))]
    async with network(tmp_path, engines) as (edge, (first, second)):
        error = failed(await collect(edge.coordinator, job()))
        assert isinstance(error, ProviderFailed)
        assert {(each.provider, each.model, each.code) for each in error.attempts} == {
            (first.peer_id, CARD.id, "engine_crashed"),
            (second.peer_id, CARD.id, "busy"),
        }
        assert all(each.seconds >= 0 for each in error.attempts)
        assert error.route is None


async def test_so_does_an_error_in_the_middle(tmp_path: Path, impatient: None) -> None:
    async with network(tmp_path, [breaking(2), breaking(2)]) as (edge, (first, second)):
        error = failed(await collect(edge.coordinator, job()))
        assert [each.provider for each in error.attempts][:2] == [first.peer_id, second.peer_id]


async def test_without_fallbacks_nobody_goes_on_where_the_first_broke_off(tmp_path: Path, impatient: None) -> None:
    async with network(tmp_path, [breaking(2), ScriptedEngine(WORDS)]) as (edge, (first, _)):
        events = await collect(edge.coordinator, job(wishes=Wishes(allow_fallbacks=False)))
        assert "".join(event.text for event in events if isinstance(event, Tokens)) == "one two "
        assert {each.provider for each in failed(events).attempts} == {first.peer_id}


async def test_a_model_that_cannot_take_the_request_gives_way_to_the_next(tmp_path: Path) -> None:
    engine = refusing(BadRequest("Too long.", param="messages"))
    async with network(tmp_path, [engine]) as (edge, _):
        error = failed(await collect(edge.coordinator, job(wishes=Wishes(models=(f"{CARD.id}:floor",)))))
        assert isinstance(error, BadRequest)
        assert len(engine.jobs) == 2


async def test_the_filter_that_took_the_last_is_named_and_is_no_fault_of_the_request(tmp_path: Path) -> None:
    async with network(tmp_path, [ScriptedEngine(WORDS)]) as (edge, (only,)):
        error = failed(await collect(edge.coordinator, job(wishes=Wishes(max_price_prompt=0), explain=True)))
        assert isinstance(error, NoProvider)
        assert (error.filter, error.param, error.attempts) == ("max_price.prompt", "provider.max_price", ())
        assert error.route is not None
        assert [(each.provider, each.reason) for each in error.route.left_out] == [(only.peer_id, "max_price.prompt")]


async def test_who_asks_is_told_how_the_choice_was_made(tmp_path: Path) -> None:
    engines = [ScriptedEngine(WORDS), ScriptedEngine(WORDS)]
    async with network(tmp_path, engines) as (edge, (first, second)):
        events = await collect(edge.coordinator, job(explain=True, wishes=Wishes(order=(second.peer_id,))))
        started = events[0]
        assert isinstance(started, Started)
        assert started.provider == second.peer_id
        assert started.route is not None
        assert [each.provider for each in started.route.considered] == [second.peer_id, first.peer_id]
        assert any(isinstance(event, Finished) for event in events)


def test_fastest_looks_at_no_price() -> None:
    cheap = Candidate("cheap", CARD, 8, 8, 0, pace=Pace(decode_s=0.1))
    dear_card = replace(CARD, price_prompt=10**9, price_completion=10**9)
    dear = Candidate("dear", dear_card, 8, 8, 0, pace=Pace(decode_s=0.05))

    def first(name: str, seed: int) -> str:
        demand = Demand(100, 10, wishes=read_model_name(name).adapted(NO_WISHES))
        ranking = rank(demand, [cheap, dear], 100.0, random.Random(seed))
        assert {each.provider for each in route_of(ranking).considered} == {"cheap", "dear"}
        return ranking.order[0].candidate.peer

    assert {first("fastest", seed) for seed in range(50)} == {"dear"}
    assert {first("auto", seed) for seed in range(50)} == {first("cheapest", 0)} == {"cheap"}


def test_what_a_name_says_counts_more_than_the_wish() -> None:
    wishes = Wishes(sort=PRICE, only=("a",))
    assert read_model_name("fastest").adapted(wishes) == replace(wishes, sort=TIME)
    assert read_model_name("auto").adapted(wishes) is wishes
