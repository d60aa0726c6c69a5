"""An answer survives its provider: the next one goes on from the tokens that are there, as one stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from peernode.chat.errors import BadRequest, EngineCrashed, JobError, NoProvider, ProviderBusy, ProviderFailed
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens
from peernode.chat.job import ChatJob
from peernode.chat.wishes import Wishes
from peernode.market import dispatch
from peernode.market.routing.breaker import Circuit
from tests.market.scripted import PROMPT_TOKENS, Party, ScriptedEngine, ScriptedStream, collect, party
from tests.samples import CARD, PRICES, REQUEST

WORDS = ("one ", "two ", "three ", "four ", "five")


def text_of(events: Sequence[JobEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Tokens))


def breaking(at: int, error: JobError | None = None) -> ScriptedEngine:
    engine = ScriptedEngine(WORDS)
    engine.crash_at, engine.crash = at, error or ProviderFailed("dead")
    return engine


class ReturningEngine(ScriptedEngine):
    """Behaves as it was told for so many jobs, and is well from then on."""

    def __init__(self, sick_jobs: int) -> None:
        super().__init__(WORDS)
        self._sick_jobs = sick_jobs

    @asynccontextmanager
    async def open(self, job: ChatJob) -> AsyncIterator[ScriptedStream]:
        if len(self.jobs) == self._sick_jobs:
            self.crash_at = self.pause_at = self.refusal = None
        async with super().open(job) as stream:
            yield stream


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heirs are waited for only as long as it takes to ask each of them."""
    monkeypatch.setattr(dispatch, "HEIRS_S", 0.0)


def job(number: int = 0, **more) -> ChatJob:
    return ChatJob(f"req_{number}", CARD.id, REQUEST, seed=7, **more)


@asynccontextmanager
async def network(folder: Path, engines: Sequence[ScriptedEngine]) -> AsyncIterator[tuple[Party, list[Party]]]:
    """An edge without a model, and one provider for each engine; the first is asked first, and so on."""
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(party(folder, 1))
        providers = [
            await stack.enter_async_context(party(folder, 2 + at, engine=engine, join=edge.mesh.addresses()))
            for at, engine in enumerate(engines)
        ]
        with trio.fail_after(60):
            await edge.until_known(*providers)
        for place, provider in enumerate(providers):
            edge.candidates.experience.prefill_ahead[provider.peer_id] = 100_000 * place
        yield edge, providers


def usage_of(events: list[JobEvent]) -> tuple[int, int]:
    (finished,) = [event for event in events if isinstance(event, Finished)]
    return finished.usage.prompt_tokens, finished.usage.completion_tokens


async def test_the_next_provider_goes_on_where_the_first_broke_off(tmp_path: Path) -> None:
    async with network(tmp_path, [breaking(2), ScriptedEngine(WORDS)]) as (edge, (first, second)):
        events = await collect(edge.coordinator, job())
        assert [event for event in events if isinstance(event, Started)] == [
            Started(first.peer_id, CARD.id, prices=PRICES)
        ]
        assert text_of(events) == "".join(WORDS)
        assert [token for event in events if isinstance(event, Tokens) for token in event.ids] == [0, 1, 2, 3, 4]
        assert usage_of(events) == (PROMPT_TOKENS, 5)
        last = events[-1]
        assert isinstance(last, Receipted)
        receipt = last.receipt.receipt
        assert (receipt.provider, receipt.part, receipt.completion_tokens) == (second.peer_id, 1, 3)
        assert second.engine is not None
        (continued,) = second.engine.jobs
        assert (continued.continue_from, continued.seed) == ((0, 1), 7)


async def test_one_after_the_other_may_break(tmp_path: Path) -> None:
    engines = [breaking(1), breaking(3), breaking(4), ScriptedEngine(WORDS)]
    async with network(tmp_path, engines) as (edge, providers):
        events = await collect(edge.coordinator, job())
        assert text_of(events) == "".join(WORDS)
        assert usage_of(events) == (PROMPT_TOKENS, 5)
        assert isinstance(events[-1], Receipted)
        assert events[-1].receipt.receipt.provider == providers[-1].peer_id


async def test_when_nobody_is_left_the_stream_ends_with_a_typed_error(tmp_path: Path, impatient: None) -> None:
    async with network(tmp_path, [breaking(2), breaking(2)]) as (edge, _):
        events = await collect(edge.coordinator, job())
        assert text_of(events) == "one two "
        assert isinstance(events[-1], Failed)
        assert type(events[-1].error) is ProviderFailed
        assert "nobody is left" in events[-1].error.sentence


async def test_who_has_another_file_of_that_name_does_not_go_on(tmp_path: Path, impatient: None) -> None:
    other = ScriptedEngine(WORDS)
    assert other.facts is not None
    async with network(tmp_path, [breaking(2), other]) as (edge, (_, second)):
        standing = edge.mesh.directory.snapshot().adverts[second.peer_id]
        assert standing.advert.models[0].digest == CARD.digest
        everybody = edge.candidates.for_model

        def another_file(*args: object, **kwargs: object) -> list[object]:
            return [
                replace(each, card=replace(each.card, digest=bytes(32))) if each.peer == second.peer_id else each
                for each in everybody(*args, **kwargs)  # type: ignore[arg-type]
            ]

        edge.candidates.for_model = another_file  # type: ignore[method-assign, assignment]
        events = await collect(edge.coordinator, job())
        assert text_of(events) == "one two "
        assert isinstance(events[-1], Failed)
        assert events[-1].error.sentence == "dead"
        assert other.jobs == []


async def test_a_late_first_token_has_a_second_provider_asked_and_the_loser_is_let_go(tmp_path: Path) -> None:
    silent = ScriptedEngine(WORDS)
    silent.pause_at = 0
    async with network(tmp_path, [silent, ScriptedEngine(WORDS)]) as (edge, (first, second)):
        events = await collect(edge.coordinator, job())
        assert events[0] == Started(second.peer_id, CARD.id, prices=PRICES)
        assert text_of(events) == "".join(WORDS)
        with trio.fail_after(60):
            await silent.freed.wait()
        assert not edge.candidates.experience.in_flight
        assert edge.store.owed(coordinator=edge.peer_id, provider=second.peer_id) > 0
        assert edge.store.owed(coordinator=edge.peer_id, provider=first.peer_id) == 0


async def test_whoever_takes_jobs_and_never_answers_is_left_alone_though_others_rescue_them(tmp_path: Path) -> None:
    silent = ScriptedEngine(WORDS)
    silent.pause_at = 0
    async with network(tmp_path, [silent, ScriptedEngine(WORDS)]) as (edge, (first, _)):
        experience = edge.candidates.experience
        for number in range(2):
            assert text_of(await collect(edge.coordinator, job(number))) == "".join(WORDS)
        assert len(silent.jobs) == 2
        assert experience.breakers.shunned(first.peer_id, trio.current_time())
        assert text_of(await collect(edge.coordinator, job(2))) == "".join(WORDS)
        assert len(silent.jobs) == 2


async def test_whoever_fails_twice_is_left_alone_for_a_while(tmp_path: Path) -> None:
    dead = breaking(0)
    async with network(tmp_path, [dead, ScriptedEngine(WORDS)]) as (edge, (first, second)):
        for number in range(4):
            events = await collect(edge.coordinator, job(number))
            assert text_of(events) == "".join(WORDS)
        assert len(dead.jobs) <= 2
        assert edge.candidates.experience.records.wavered_s(first.peer_id, CARD.digest) > 0
        assert edge.candidates.experience.records.of(second.peer_id, CARD.digest).jobs == 4


async def test_busy_is_no_fault(tmp_path: Path) -> None:
    busy = ScriptedEngine(WORDS)
    busy.refusal = ProviderBusy("full")
    async with network(tmp_path, [busy, ScriptedEngine(WORDS)]) as (edge, (first, _)):
        for number in range(3):
            await collect(edge.coordinator, job(number))
        breaker = edge.candidates.experience.breakers.of(first.peer_id)
        assert (breaker.failures, breaker.state(trio.current_time())) == (0, Circuit.CLOSED)


async def test_who_is_busy_is_left_alone_for_as_long_as_it_says(tmp_path: Path) -> None:
    busy = ScriptedEngine(WORDS)
    busy.refusal = ProviderBusy("full")
    busy.refusal.retry_after_s = 300.0
    async with network(tmp_path, [busy, ScriptedEngine(WORDS)]) as (edge, _):
        for number in range(5):
            assert isinstance((await collect(edge.coordinator, job(number)))[-1], Receipted)
        assert len(busy.jobs) <= 1
    busy.jobs.clear()
    (tmp_path / "alone").mkdir()
    async with network(tmp_path / "alone", [busy]) as (edge, (first,)):
        for number in range(2):  # by its own word, and then because that is remembered
            (failed,) = await collect(edge.coordinator, job(number))
            assert isinstance(failed, Failed)
            assert isinstance(failed.error, NoProvider)
            assert 290 < (failed.error.retry_after_s or 0) <= 300
        assert len(busy.jobs) == 1
        assert "busy for" in edge.candidates.experience.breakers.shunned(first.peer_id, trio.current_time())


async def test_a_model_to_fall_back_to_is_asked_when_the_first_is_nowhere(tmp_path: Path) -> None:
    async with network(tmp_path, [ScriptedEngine(WORDS)]) as (edge, _):
        asked = replace(job(), model="nobody-has-this", wishes=Wishes(models=("nor-this", CARD.id)))
        events = await collect(edge.coordinator, asked)
        assert isinstance(events[0], Started)
        assert events[0].model_id == CARD.id
        assert text_of(events) == "".join(WORDS)


async def test_without_fallbacks_only_the_first_is_asked(tmp_path: Path) -> None:
    async with network(tmp_path, [breaking(0), ScriptedEngine(WORDS)]) as (edge, (_, second)):
        events = await collect(edge.coordinator, job(wishes=Wishes(allow_fallbacks=False)))
        assert isinstance(events[-1], Failed)
        assert second.engine is not None
        assert second.engine.jobs == []


async def test_any_model_will_do_for_a_meta_model(tmp_path: Path) -> None:
    async with network(tmp_path, [ScriptedEngine(WORDS)]) as (edge, _):
        for number, name in enumerate(("cheapest", "fastest", "auto", f"{CARD.id}:floor", f"{CARD.id}:nitro")):
            events = await collect(edge.coordinator, replace(job(number), model=name))
            assert isinstance(events[0], Started)
            assert events[0].model_id == CARD.id


async def test_whoever_broke_off_goes_on_itself_when_nobody_else_is_there(tmp_path: Path) -> None:
    engine = ReturningEngine(sick_jobs=1)
    engine.crash_at, engine.crash = 2, EngineCrashed("dead")
    async with network(tmp_path, [engine]) as (edge, (only,)):
        events = await collect(edge.coordinator, job())
        assert text_of(events) == "".join(WORDS)
        assert usage_of(events) == (PROMPT_TOKENS, 5)
        assert isinstance(events[-1], Receipted)
        assert events[-1].receipt.receipt.provider == only.peer_id
        assert [each.continue_from for each in engine.jobs] == [(), (0, 1)]


async def test_a_busy_heir_is_asked_again(tmp_path: Path) -> None:
    heir = ReturningEngine(sick_jobs=2)
    heir.refusal = ProviderBusy("full")
    async with network(tmp_path, [breaking(2), heir]) as (edge, _):
        events = await collect(edge.coordinator, job())
        assert text_of(events) == "".join(WORDS)
        assert len(heir.jobs) == 3


async def test_who_was_too_busy_for_the_beginning_may_still_be_the_heir(tmp_path: Path) -> None:
    busy = ReturningEngine(sick_jobs=1)
    busy.refusal = ProviderBusy("full")
    async with network(tmp_path, [busy, breaking(3)]) as (edge, (first, _)):
        events = await collect(edge.coordinator, job())
        assert text_of(events) == "".join(WORDS)
        assert isinstance(events[-1], Receipted)
        assert events[-1].receipt.receipt.provider == first.peer_id


async def test_an_answer_that_kills_engines_is_not_shown_to_a_third(tmp_path: Path) -> None:
    engines = [breaking(2, EngineCrashed("dead")) for _ in range(3)]
    async with network(tmp_path, engines) as (edge, _):
        events = await collect(edge.coordinator, job())
        assert isinstance(events[-1], Failed)
        assert "nobody is left" in events[-1].error.sentence
        assert sum(len(engine.jobs) for engine in engines) == 2


async def test_a_heir_that_cannot_read_the_answer_so_far_is_passed_over(tmp_path: Path) -> None:
    strange = ScriptedEngine(WORDS)
    strange.refusal = BadRequest("The answer to continue holds tokens that the model does not know.")
    async with network(tmp_path, [breaking(2), strange, ScriptedEngine(WORDS)]) as (edge, _):
        events = await collect(edge.coordinator, job())
        assert text_of(events) == "".join(WORDS)
        assert len(strange.jobs) == 1


async def test_a_break_between_the_last_token_and_the_end_costs_no_token(tmp_path: Path) -> None:
    async with network(tmp_path, [breaking(len(WORDS)), ScriptedEngine(WORDS)]) as (edge, (_, second)):
        events = await collect(edge.coordinator, job())
        assert text_of(events) == "".join(WORDS)
        assert usage_of(events) == (PROMPT_TOKENS, 5)
        assert isinstance(events[-1], Receipted)
        receipt = events[-1].receipt.receipt
        assert (receipt.provider, receipt.completion_tokens) == (second.peer_id, 0)


async def test_a_provider_that_goes_silent_is_left_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "STALL_LEAST_S", 0.2)
    monkeypatch.setattr(dispatch, "STALL_TOKENS", 0)
    silent = ScriptedEngine(WORDS)
    silent.pause_at = 2
    async with network(tmp_path, [silent, ScriptedEngine(WORDS)]) as (edge, _):
        events = await collect(edge.coordinator, job())
        assert text_of(events) == "".join(WORDS)
        with trio.fail_after(60):
            await silent.freed.wait()  # it was told to stop


async def test_a_client_that_allows_nobody_else_has_nobody_else_go_on(tmp_path: Path, impatient: None) -> None:
    async with network(tmp_path, [breaking(2), ScriptedEngine(WORDS)]) as (edge, (_, second)):
        events = await collect(edge.coordinator, job(wishes=Wishes(allow_fallbacks=False)))
        assert isinstance(events[-1], Failed)
        assert second.engine is not None
        assert second.engine.jobs == []


async def test_a_client_that_leaves_while_an_heir_is_looked_for_leaves_nothing_behind(tmp_path: Path) -> None:
    lost, heir = breaking(2), ScriptedEngine(WORDS)
    heir.pause_at = 2
    async with network(tmp_path, [lost, heir]) as (edge, _), edge.coordinator.open(job()) as events:
        said = ""
        while said != "one two ":
            event = await anext(events)
            said += event.text if isinstance(event, Tokens) else ""
        with trio.fail_after(60):
            await heir.paused.wait()
    assert heir.freed.is_set()
    assert not edge.candidates.experience.in_flight
    assert edge.coordinator.jobs.running == 0


async def test_eight_answers_at_once_survive_all_providers_but_one(tmp_path: Path) -> None:
    texts: dict[int, str] = {}

    async def ask(edge: Party, number: int) -> None:
        events = await collect(edge.coordinator, job(number))
        assert isinstance(events[-1], Receipted), events[-1]
        texts[number] = text_of(events)

    async with network(tmp_path, [breaking(1), breaking(3), ScriptedEngine(WORDS)]) as (edge, _):
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(ask, edge, number)
        assert texts == dict.fromkeys(range(8), "".join(WORDS))
