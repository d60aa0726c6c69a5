"""Models that have to be loaded first: what is said meanwhile, who is waited for, and who is asked instead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from peernode.chat.errors import FirstTokenTimeout, ProviderBusy
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Tokens, Waiting
from peernode.chat.job import ChatJob
from peernode.chat.wishes import AVOID, WAIT, Wishes
from peernode.engine import EngineLoad
from peernode.market import announcing, remote, turns
from peernode.market.routing.load_pace import START_S, TRUSTED_S, USUAL_RATE, LoadPace, size_of
from peernode.market.turns import token_s
from peernode.wire.advert import LOADABLE
from tests.market.scripted import FACTS, Party, ScriptedEngine, ScriptedStream, collect, job, party
from tests.samples import CARD

WORDS = ("one ", "two ", "three")
LOAD_S = 6.0
ACCEPT_S = 3.0


class LateStream(ScriptedStream):
    """Nothing comes before the model is loaded."""

    async def __anext__(self) -> JobEvent:
        assert isinstance(self._engine, ColdEngine)
        with trio.move_on_at(self._engine.ready_at):
            await self._cancelled.wait()
            return Failed(ProviderBusy("The job left before the model was loaded."))
        return await super().__anext__()


class ColdEngine(ScriptedEngine):
    """Loads with its first job, for ``load_s``; its card says so if it is ``marked``."""

    def __init__(self, load_s: float = LOAD_S, *, marked: bool = True) -> None:
        super().__init__(WORDS)
        self.facts = replace(FACTS, features=(*FACTS.features, LOADABLE) if marked else FACTS.features)
        self._load_s = load_s
        self.ready_at = float("inf")
        self.left = trio.Event()

    def load(self) -> EngineLoad:
        left_s = min(max(self.ready_at - trio.current_time(), 0.0), self._load_s)
        return replace(super().load(), load_s=left_s)

    @asynccontextmanager
    async def open(self, job: ChatJob) -> AsyncIterator[ScriptedStream]:
        self.jobs.append(job)
        self.ready_at = min(self.ready_at, trio.current_time() + self._load_s)
        try:
            yield LateStream(self, None, len(job.continue_from))
        finally:
            self.left.set()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A load is longer than the patience for an answer to an offer, and a word about it comes more often."""
    monkeypatch.setattr(remote, "ACCEPT_S", ACCEPT_S)
    for module in (turns, announcing):
        monkeypatch.setattr(module, "WAIT_EVERY_S", 0.1)


@asynccontextmanager
async def network(folder: Path, *engines: ScriptedEngine) -> AsyncIterator[tuple[Party, list[Party]]]:
    """An edge without a model, and a provider for each engine."""
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(party(folder, 1))
        providers = []
        for number, engine in enumerate(engines, start=2):
            joined = party(folder, number, engine=engine, join=edge.mesh.addresses())
            providers.append(await stack.enter_async_context(joined))
        await edge.until_known(*providers)
        yield edge, providers


def waits_of(events: list[JobEvent]) -> list[Waiting]:
    return [event for event in events if isinstance(event, Waiting)]


def provider_of(events: list[JobEvent]) -> str:
    assert isinstance(events[-1], Receipted)
    return events[-1].receipt.receipt.provider


async def test_a_load_that_is_longer_than_the_patience_for_an_offer_is_waited_for(tmp_path: Path) -> None:
    cold = ColdEngine()
    async with network(tmp_path, cold) as (edge, (only,)):
        events = await collect(edge.coordinator, job())
        assert provider_of(events) == only.peer_id
        waits = waits_of(events)
        assert {wait.reason for wait in waits} == {"loading"}
        assert len(waits) >= 3
        assert [wait.eta_s for wait in waits] == sorted((wait.eta_s for wait in waits), reverse=True)
        assert LOAD_S / 2 < waits[0].eta_s <= LOAD_S
        assert len(cold.jobs) == 1
        # What it took is expected of its next load.
        expected_s = edge.candidates.experience.loading.expected_s(only.peer_id, CARD, trio.current_time() + 60.0)
        assert LOAD_S <= expected_s < LOAD_S + 30.0
        assert edge.candidates.experience.breakers.of(only.peer_id).failures == 0


async def test_who_says_nothing_is_passed_over_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TELLING_S", float("inf"))  # it is as silent as it was
    silent = ColdEngine(60.0, marked=False)
    async with network(tmp_path, silent, ScriptedEngine(WORDS)) as (edge, (first, second)):
        events = await collect(edge.coordinator, replace(job(), wishes=Wishes(order=(first.peer_id,))))
        assert provider_of(events) == second.peer_id
        assert len(silent.jobs) == 1


async def test_this_nodes_own_cold_model_is_waited_for_with_the_same_words(tmp_path: Path) -> None:
    async with party(tmp_path, 1, engine=ColdEngine()) as only:
        events = await collect(only.coordinator, job())
        assert provider_of(events) == only.peer_id
        assert len(waits_of(events)) >= 3


async def test_the_clients_deadline_ends_the_wait_and_says_when_the_model_will_be_there(tmp_path: Path) -> None:
    async with network(tmp_path, ColdEngine(30.0)) as (edge, _):
        *waits, failed = await collect(edge.coordinator, job(first_token_s=4.0))
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, FirstTokenTimeout)
        assert waits
        assert all(isinstance(wait, Waiting) for wait in waits)
        assert 20.0 < (failed.error.retry_after_s or 0.0) <= 30.0


async def test_a_client_that_leaves_ends_the_wait_at_the_provider(tmp_path: Path) -> None:
    cold = ColdEngine(600.0)
    async with network(tmp_path, cold) as (edge, _):
        async with edge.coordinator.open(job()) as events:
            assert isinstance(await anext(events), Waiting)
        with trio.fail_after(20):
            await cold.left.wait()
        assert not edge.candidates.experience.in_flight


async def test_a_warm_provider_is_asked_where_it_is_faster(tmp_path: Path) -> None:
    cold = ColdEngine(60.0)
    async with network(tmp_path, cold, ScriptedEngine(WORDS)) as (edge, (_, warm)):
        for number in range(3):
            assert provider_of(await collect(edge.coordinator, job(number))) == warm.peer_id
        assert not cold.jobs


async def test_a_model_that_turns_out_to_be_cold_is_left_for_a_warm_one_without_a_fault(tmp_path: Path) -> None:
    cold, warm = ColdEngine(60.0, marked=False), ScriptedEngine(WORDS)
    async with network(tmp_path, cold, warm) as (edge, (first, second)):
        number, records = 0, edge.candidates.experience.records
        while not cold.jobs:  # whoever is asked first is drawn
            assert provider_of(await collect(edge.coordinator, job(number))) == second.peer_id
            number += 1
        with trio.fail_after(20):
            await cold.left.wait()
        assert edge.candidates.experience.breakers.of(first.peer_id).failures == 0
        assert records.wavered_s(first.peer_id, CARD.digest) == float("-inf")
        assert len(warm.jobs) == number
        assert edge.store.find(f"req_{number - 1}")[0].part == 1  # the other one had part 0, and is owed nothing


async def test_who_avoids_cold_models_gets_one_only_when_nobody_else_is_left(tmp_path: Path) -> None:
    cold, warm = ColdEngine(0.2), ReluctantEngine()
    async with network(tmp_path, cold, warm) as (edge, (first, second)):
        asked = replace(job(), wishes=Wishes(cold=AVOID))
        assert provider_of(await collect(edge.coordinator, asked)) == second.peer_id
        assert not cold.jobs
        asked = replace(job(1), wishes=Wishes(cold=AVOID, ignore=(second.peer_id,)))
        assert provider_of(await collect(edge.coordinator, asked)) == first.peer_id


class ReluctantEngine(ScriptedEngine):
    """Warm, and slower than a short load."""

    def load(self) -> EngineLoad:
        return replace(super().load(), free_slots=0, queued=20)


async def test_a_nodes_own_choice_is_for_clients_without_a_wish(tmp_path: Path) -> None:
    async with party(tmp_path, 1) as edge:
        experience = edge.candidates.experience
        assert experience.whole(Wishes()).cold == WAIT
        assert experience.whole(Wishes(cold=AVOID)).cold == AVOID


async def test_jobs_that_wait_for_others_say_so(tmp_path: Path) -> None:
    class Busy(ScriptedEngine):
        def load(self) -> EngineLoad:
            return replace(super().load(), slots=1, prefill_tps=10.0, prefilled=1)

    engine = Busy(WORDS)
    engine.pause_at = 0  # the first job never comes to its first token
    async with network(tmp_path, engine) as (edge, _), trio.open_nursery() as nursery:
        nursery.start_soon(_first_token, edge, job())
        with trio.fail_after(20):
            await engine.paused.wait()
        async with edge.coordinator.open(job(1)) as events:
            first = await anext(events)
            assert isinstance(first, Waiting)
            assert first.reason == "queued"
            assert first.eta_s > 0
        nursery.cancel_scope.cancel()


async def _first_token(edge: Party, wanted: ChatJob) -> None:
    async with edge.coordinator.open(wanted) as events:
        async for event in events:
            if isinstance(event, (Tokens, Finished)):
                return


def test_a_token_of_a_prompt_takes_less_where_many_are_in_the_cache() -> None:
    load = EngineLoad(8, 8, 0, 0, 8192, 50.0, 400.0, 0)
    assert token_s(load) == 0.0
    assert token_s(replace(load, prefilled=100)) == pytest.approx(1 / 400)
    assert token_s(replace(load, prefilled=100, reused=300)) == pytest.approx(1 / 1600)


def test_a_load_is_expected_by_size_then_by_what_it_took_and_while_it_lasts_by_the_peers_word() -> None:
    pace, card = LoadPace(), replace(CARD, parameters=8_000_000_000, quantization="Q4_K_M")
    assert size_of(card) == pytest.approx(4.5e9)
    assert size_of(replace(card, quantization="F16")) == pytest.approx(16e9)
    assert pace.expected_s("a", card, 0.0) == pytest.approx(START_S + 4.5e9 / USUAL_RATE)
    pace.took("a", card, 10.0)
    assert pace.expected_s("a", card, 0.0) == 10.0
    assert 10.0 < pace.expected_s("b", card, 0.0) < START_S + 4.5e9 / USUAL_RATE  # loads are faster here
    pace.told("a", card.digest, 30.0, now=100.0)
    assert pace.expected_s("a", card, 120.0) == 10.0
    assert pace.expected_s("a", card, 125.0) == 5.0
    assert 0 < pace.expected_s("a", card, 131.0) < 1
    assert pace.expected_s("a", card, 130.0 + TRUSTED_S) == 10.0
