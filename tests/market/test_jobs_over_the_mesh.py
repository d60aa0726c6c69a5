"""Jobs between a coordinator and a provider over real libp2p streams; only the engine is scripted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from peernode.chat.errors import (
    BadRequest,
    ContextTooLong,
    EngineCrashed,
    NoProvider,
    ProviderBusy,
    ProviderFailed,
    UnknownModel,
)
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens
from peernode.chat.job import ChatJob
from peernode.chat.message import Image, Message
from peernode.chat.sampling import Sampling
from peernode.chat.tools import Tool
from peernode.ledger.open_jobs import OpenJobs, PartKey
from peernode.market import dispatch
from peernode.market.verification import verify_receipt
from peernode.wire.bounds import MAX_IMAGES_BYTES
from peernode.wire.receipt import ids_digest, text_digest
from tests.market.scripted import FACTS, Party, ScriptedEngine, collect, job, pair, party
from tests.samples import CARD, PRICES, REQUEST


def text_of(events: list[JobEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Tokens))


def error_of(events: list[JobEvent]) -> object:
    assert isinstance(events[-1], Failed)
    return events[-1].error


async def until_recorded(store_of: Party, request_id: str, *, countersigned: bool = True) -> None:
    """The provider's last write happens after the client has its answer; wait for its commit."""
    with trio.fail_after(60):
        while True:
            records = store_of.store.find(request_id)
            if records and (records[0].countersignature is not None) == countersigned:
                return
            await trio.sleep(0.01)


async def test_an_answer_from_a_peer_with_a_receipt_on_both_sides(tmp_path: Path) -> None:
    async with pair(tmp_path, ScriptedEngine()) as (edge, provider):
        events = await collect(edge.coordinator, job())
        assert events[0] == Started(provider.peer_id, CARD.id, prices=PRICES)
        assert text_of(events) == "one two three"
        last = events[-1]
        assert isinstance(last, Receipted)
        assert all(check.passed for check in verify_receipt(last.receipt.raw, last.countersignature.raw))
        (held,) = edge.store.find("req_0")
        assert (held.role, held.receipt, held.countersignature) == ("coordinator", last.receipt, last.countersignature)
        await until_recorded(provider, "req_0")
        (theirs,) = provider.store.find("req_0")
        assert (theirs.role, theirs.receipt, theirs.countersignature) == (
            "provider",
            last.receipt,
            last.countersignature,
        )


async def test_a_job_on_the_own_engine_has_the_same_stream_and_a_receipt(tmp_path: Path) -> None:
    async with party(tmp_path, 1, engine=ScriptedEngine()) as alone:
        events = await collect(alone.coordinator, job())
        assert text_of(events) == "one two three"
        last = events[-1]
        assert isinstance(last, Receipted)
        assert last.receipt.receipt.coordinator == last.receipt.receipt.provider == alone.peer_id
        (held,) = alone.store.find("req_0")
        assert (held.role, held.countersignature) == ("both", last.countersignature)


@pytest.mark.parametrize("where", ["peer", "here"])
async def test_log_probabilities_come_with_their_tokens_and_the_receipt_stands(tmp_path: Path, where: str) -> None:
    sampling = Sampling.of(presence_penalty=0.5, logit_bias={7: -100}, top_k=40)
    asked = replace(job(), request=replace(REQUEST, sampling=sampling, top_logprobs=2))
    async with pair(tmp_path, ScriptedEngine()) as (edge, provider):
        events = await collect((edge if where == "peer" else provider).coordinator, asked)
        tokens = [event for event in events if isinstance(event, Tokens)]
        assert [entry.chosen.id for event in tokens for entry in event.logprobs] == [0, 1, 2]
        assert all(len(entry.top) == 2 for event in tokens for entry in event.logprobs)
        last = events[-1]
        assert isinstance(last, Receipted)
        assert last.receipt.receipt.sampler_digest == sampling.digest
        assert all(check.passed for check in verify_receipt(last.receipt.raw, last.countersignature.raw))


@pytest.mark.parametrize("where", ["peer", "here"])
async def test_tools_and_the_largest_images_reach_the_engine_whole(tmp_path: Path, where: str) -> None:
    pictured = Message("user", "what is it?", images=(Image(0, bytes(MAX_IMAGES_BYTES)),))
    request = replace(REQUEST, messages=(pictured,), tools=(Tool("look"),), tool_choice="required", background=True)
    engine = ScriptedEngine()
    engine.markup = "hermes+think"
    async with pair(tmp_path, engine) as (edge, provider):
        events = await collect((edge if where == "peer" else provider).coordinator, replace(job(), request=request))
        assert events[0] == Started(provider.peer_id, CARD.id, "hermes+think", prices=PRICES)
        assert isinstance(events[-1], Receipted)
        assert engine.requests == [request]


async def test_images_for_a_model_that_reads_only_text_are_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    pictured = Message("user", "what is it?", images=(Image(0, b"x"),))
    engine = ScriptedEngine()
    engine.facts = replace(FACTS, features=())
    async with pair(tmp_path, engine) as (edge, _):
        error = error_of(
            await collect(edge.coordinator, replace(job(), request=replace(REQUEST, messages=(pictured,))))
        )
        assert isinstance(error, BadRequest)
        assert (error.param, "reads only text" in error.sentence) == ("messages", True)
        assert engine.requests == []


async def test_a_refusal_by_a_peer_names_the_parameter_and_the_reason(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.refusal = BadRequest("The schema is not supported.", param="response_format", cause="if/then")
    async with pair(tmp_path, engine) as (edge, _):
        error = error_of(await collect(edge.coordinator, job()))
        assert isinstance(error, BadRequest)
        assert (error.sentence, error.param, error.cause) == (
            "The schema is not supported.",
            "response_format",
            "if/then",
        )


@pytest.mark.parametrize("where", ["peer", "here"])
async def test_a_client_that_leaves_frees_the_sequence_and_pays_for_exactly_what_was_sent(
    tmp_path: Path, where: str
) -> None:
    engine = ScriptedEngine([f"{number} " for number in range(50)])
    engine.pause_at = 7
    async with pair(tmp_path, engine) as (edge, provider):
        asked = edge if where == "peer" else provider
        got: list[Tokens] = []
        async with asked.coordinator.open(job()) as events:
            async for event in events:
                if isinstance(event, Tokens):
                    got.append(event)
                if sum(len(piece.ids) for piece in got) == 7:
                    await engine.paused.wait()
                    break
        assert engine.freed.is_set()
        (held,) = asked.store.find("req_0")
        receipt = held.receipt.receipt
        assert (receipt.finish_reason, receipt.completion_tokens) == ("cancelled", 7)
        assert receipt.output_ids_digest == ids_digest(tuple(range(7)))
        assert receipt.text_digest == text_digest("".join(piece.text for piece in got))
        assert held.countersignature is not None
        await until_recorded(provider, "req_0")
        assert provider.provider.jobs.running == 0


async def test_a_coordinator_that_vanishes_leaves_its_part_open_and_nothing_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "HEIRS_S", 0.0)  # it would go on as soon as its host is there again
    engine = ScriptedEngine(["a", "b", "c"])
    engine.pause_at = 2
    async with party(tmp_path, 1, engine=engine) as provider:
        async with party(tmp_path, 2, join=provider.mesh.addresses()) as edge, trio.open_nursery() as nursery:
            await edge.until_known(provider)
            nursery.start_soon(_stall, edge, job())
            await engine.paused.wait()
            edge.mesh._life.nursery.cancel_scope.cancel()  # type: ignore[union-attr]
            with trio.fail_after(60):
                await engine.freed.wait()
            nursery.cancel_scope.cancel()
        with trio.fail_after(60):
            while provider.provider.jobs.running:
                await trio.sleep(0.01)
        (left,) = OpenJobs(provider.store.database).all()
        assert (left.key, left.state) == (PartKey("provided", "req_0", 0, edge.peer_id), "running")
        assert not provider.store.find("req_0")


async def _stall(edge: Party, wanted: ChatJob) -> None:
    async with edge.coordinator.open(wanted) as events:
        async for _ in events:
            pass


async def test_a_busy_provider_is_passed_over(tmp_path: Path) -> None:
    full = ScriptedEngine()
    full.refusal = ProviderBusy("full")
    async with (
        pair(tmp_path, full) as (edge, first),
        party(tmp_path, 3, join=first.mesh.addresses(), engine=ScriptedEngine()) as second,
    ):
        await edge.until_known(first, second)
        for number in range(4):
            events = await collect(edge.coordinator, job(number))
            assert events[0] == Started(second.peer_id, CARD.id, prices=PRICES)


async def test_when_all_are_busy_the_client_is_told_so(tmp_path: Path) -> None:
    full = ScriptedEngine()
    full.refusal = ProviderBusy("full")
    async with pair(tmp_path, full) as (edge, _):
        assert isinstance(error_of(await collect(edge.coordinator, job())), NoProvider)


async def test_a_request_at_fault_is_not_tried_elsewhere(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.refusal = ContextTooLong("too long")
    async with pair(tmp_path, engine) as (edge, _):
        assert isinstance(error_of(await collect(edge.coordinator, job())), ContextTooLong)


async def test_a_dead_provider_costs_one_failed_dial_and_is_then_hidden(tmp_path: Path) -> None:
    async with pair(tmp_path, ScriptedEngine()) as (edge, provider):
        async with party(tmp_path, 3, engine=ScriptedEngine(), join=edge.mesh.addresses()) as dying:
            await edge.until_known(dying)
        # It went without a goodbye; its lease still runs.
        assert dying.peer_id in edge.mesh.directory.snapshot().adverts
        edge.candidates.experience.in_flight[provider.peer_id] = 5  # so that the dead one is asked first
        events = await collect(edge.coordinator, job())
        assert events[0] == Started(provider.peer_id, CARD.id, prices=PRICES)
        assert dying.peer_id not in edge.mesh.directory.snapshot().adverts


async def test_an_engine_that_dies_before_the_first_token_fails_over(tmp_path: Path) -> None:
    broken = ScriptedEngine()
    broken.crash_at, broken.crash = 0, EngineCrashed("dead")
    async with (
        pair(tmp_path, broken) as (edge, first),
        party(tmp_path, 3, join=first.mesh.addresses(), engine=ScriptedEngine()) as second,
    ):
        await edge.until_known(first, second)
        edge.candidates.experience.in_flight[second.peer_id] = 5  # so that the broken one is asked first
        events = await collect(edge.coordinator, job())
        assert events[0] == Started(second.peer_id, CARD.id, prices=PRICES)
        assert text_of(events) == "one two three"


async def test_an_engine_that_dies_in_mid_answer_ends_it_with_a_typed_error(tmp_path: Path) -> None:
    broken = ScriptedEngine()
    broken.crash_at, broken.crash = 2, EngineCrashed("dead")
    async with pair(tmp_path, broken) as (edge, provider):
        events = await collect(edge.coordinator, job())
        assert text_of(events) == "one two "
        assert isinstance(error_of(events), EngineCrashed)
        assert not provider.store.find("req_0")


async def test_unknown_and_no_longer_offered_models_are_told_apart(tmp_path: Path) -> None:
    async with pair(tmp_path, ScriptedEngine()) as (edge, provider):
        unknown = ChatJob("req_1", "nobody-has-this", REQUEST, seed=1)
        assert isinstance(error_of(await collect(edge.coordinator, unknown)), UnknownModel)
        edge.mesh.directory.suspect(provider.peer_id)
        assert isinstance(error_of(await collect(edge.coordinator, job(2))), NoProvider)


async def test_a_silent_engine_runs_into_the_first_token_deadline(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.pause_at = 0
    async with pair(tmp_path, engine) as (edge, _):
        events = await collect(edge.coordinator, job(first_token_s=0.3))
        assert error_of(events).code == "first_token_timeout"  # type: ignore[attr-defined]
        with trio.fail_after(60):
            await engine.freed.wait()


async def test_a_draining_provider_takes_no_new_jobs(tmp_path: Path) -> None:
    async with pair(tmp_path, ScriptedEngine()) as (edge, provider):
        provider.provider.draining = True
        assert isinstance(error_of(await collect(edge.coordinator, job())), NoProvider)


async def test_totals_owed_grow_with_every_job(tmp_path: Path) -> None:
    async with pair(tmp_path, ScriptedEngine()) as (edge, provider):
        totals = []
        for number in range(3):
            last = (await collect(edge.coordinator, job(number)))[-1]
            assert isinstance(last, Receipted)
            totals.append(last.countersignature.countersignature.cumulative)
        each = totals[0]
        assert totals == [each, 2 * each, 3 * each]
        await until_recorded(provider, "req_2")
        assert provider.store.owed(coordinator=edge.peer_id, provider=provider.peer_id) == 3 * each


async def test_finished_comes_before_the_receipt_and_counts_once(tmp_path: Path) -> None:
    async with pair(tmp_path, ScriptedEngine()) as (edge, _):
        finished = [event for event in await collect(edge.coordinator, job()) if isinstance(event, Finished)]
        assert [event.usage.completion_tokens for event in finished] == [3]


def test_provider_failed_is_the_family_of_engine_crashed() -> None:
    assert issubclass(EngineCrashed, ProviderFailed)


async def test_what_was_said_leaves_in_time_although_the_engine_falls_silent(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    engine.pause_at = 2
    async with pair(tmp_path, engine) as (edge, _):
        with trio.fail_after(60):
            async with edge.coordinator.open(job()) as events:
                seen: list[JobEvent] = []
                while text_of(seen) != "one two ":  # the second piece waits for company, and none comes
                    seen.append(await anext(events))
                assert engine.paused.is_set()
