"""Receipts of parts that broke off, over real libp2p streams: by a broken stream, a crash of either side, or of both.

A crash is a party that is gone without a word, and comes back with its ledger and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from peernode.chat.errors import EngineCrashed
from peernode.chat.events import Failed, Tokens
from peernode.ledger import ReceiptRecord, ReceiptStore
from peernode.ledger.open_jobs import GIVEN_UP, OpenJobs
from peernode.market.recovery.recovery import UNREACHABLE
from peernode.market.recovery.service import NOTHING, SETTLED
from peernode.market.verification import verify_receipt
from peernode.wire.receipt import ids_digest, text_digest
from tests.market.recovering import PIECES, job, open_of, paid, stopping_at, until
from tests.market.scripted import Party, ScriptedEngine, collect, pair, party

pytestmark = pytest.mark.usefixtures("no_heirs")


async def settled(*parties: Party, tokens: int | None = None) -> ReceiptRecord:
    """Wait until all of them hold the one receipt of the part countersigned, and nothing is open."""

    def done() -> bool:
        return not any(open_of(each) for each in parties) and all(paid(each.store) for each in parties)

    await until(done)
    (first,), *others = [paid(each.store) for each in parties]
    for other in others:
        assert [(r.receipt, r.countersignature) for r in other] == [(first.receipt, first.countersignature)]
    assert first.countersignature is not None
    assert all(check.passed for check in verify_receipt(first.receipt.raw, first.countersignature.raw))
    if tokens is not None:
        receipt = first.receipt.receipt
        assert (receipt.finish_reason, receipt.completion_tokens) == ("lost", tokens)
        assert receipt.output_ids_digest == ids_digest(tuple(range(tokens)))
        assert receipt.text_digest == text_digest("".join(PIECES[:tokens]))
        assert receipt.credits > 0
    return first


async def ask(edge: Party, until_tokens: int, reached: trio.Event) -> None:
    """Read an answer, and say when so much of it is here."""
    seen = 0
    async with edge.coordinator.open(job()) as events:
        async for event in events:
            if isinstance(event, Tokens):
                seen += len(event.ids)
                if seen >= until_tokens:
                    reached.set()


@asynccontextmanager
async def asking(edge: Party, tokens: int) -> AsyncIterator[trio.Nursery]:
    """An answer of which so many tokens have come, and which goes on in the nursery."""
    reached = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, edge, tokens, reached)
        with trio.fail_after(60):
            await reached.wait()
        yield nursery
        nursery.cancel_scope.cancel()


def crash(party_of: Party) -> None:
    """Its connections are gone at once."""
    party_of.mesh._life.nursery.cancel_scope.cancel()  # type: ignore[union-attr]


async def test_what_an_engine_gave_before_it_died_is_paid(tmp_path: Path) -> None:
    engine = ScriptedEngine(PIECES)
    engine.crash_at, engine.crash = 5, EngineCrashed("dead")
    async with (
        party(tmp_path, 1, engine=engine, recovers=True) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses(), recovers=True) as edge,
    ):
        await edge.until_known(provider)
        events = await collect(edge.coordinator, job())
        assert isinstance(events[-1], Failed)
        await settled(edge, provider, tokens=5)


async def test_what_the_own_engine_gave_before_it_died_is_signed_for_at_once(tmp_path: Path) -> None:
    engine = ScriptedEngine(PIECES)
    engine.crash_at, engine.crash = 5, EngineCrashed("dead")
    async with party(tmp_path, 1, engine=engine) as alone:
        assert isinstance((await collect(alone.coordinator, job()))[-1], Failed)
        (held,) = alone.store.find("req_0")
        assert (held.receipt.receipt.finish_reason, held.receipt.receipt.completion_tokens) == ("lost", 5)
        assert held.countersignature is not None


async def test_a_provider_that_comes_back_signs_for_what_its_coordinator_has(tmp_path: Path) -> None:
    async with party(tmp_path, 2) as edge:
        async with party(tmp_path, 1, engine=stopping_at(150), join=edge.mesh.addresses()) as provider:
            await edge.until_known(provider)
            async with asking(edge, 150):
                crash(provider)
                await until(lambda: OpenJobs(edge.store.database).all()[0].state == "broken")
        owed = OpenJobs(edge.store.database).pending_credits("req_0")
        assert [each.outcome for each in await edge.recovery.look()] == [UNREACHABLE]
        async with party(tmp_path, 1, engine=ScriptedEngine(), join=edge.mesh.addresses()) as provider:
            await edge.until_known(provider)
            assert [each.outcome for each in await edge.recovery.look()] == [SETTLED]
            held = await settled(edge, provider, tokens=150)
            assert held.receipt.receipt.credits == owed


async def test_a_coordinator_that_comes_back_pays_for_what_was_sent(tmp_path: Path) -> None:
    async with party(tmp_path, 1, engine=stopping_at(150), recovers=True) as provider:
        async with party(tmp_path, 2, join=provider.mesh.addresses()) as edge:
            await edge.until_known(provider)
            async with asking(edge, 150):
                key = open_of(edge)[0]
                raw = OpenJobs(edge.store.database).find(key)
                crash(edge)
                await until(lambda: provider.provider.jobs.running == 0)
        as_it_was(tmp_path / "2.db", edge, raw)
        async with party(tmp_path, 2, join=provider.mesh.addresses(), recovers=True) as edge:
            await settled(edge, provider, tokens=150)


def as_it_was(path: Path, edge: Party, row: object) -> None:
    """What the coordinator wrote after the crash is taken back: a killed one writes nothing."""
    store = ReceiptStore.open(path, own=edge.peer_id)
    jobs = OpenJobs(store.database)
    jobs.close_soon(row.key)  # type: ignore[attr-defined]
    jobs.open_soon(row).result()  # type: ignore[arg-type]
    store.close()


async def test_after_a_crash_of_both_what_was_acknowledged_is_paid(tmp_path: Path) -> None:
    async with party(tmp_path, 1, engine=stopping_at(150)) as provider:
        async with party(tmp_path, 2, join=provider.mesh.addresses()) as edge:
            await edge.until_known(provider)
            async with asking(edge, 150):
                row = OpenJobs(edge.store.database).all()[0]
                await until(lambda: bool(OpenJobs(provider.store.database).all()[0].acknowledgement))
                crash(edge)
                await until(lambda: OpenJobs(edge.store.database).all()[0].state == "broken")
        as_it_was(tmp_path / "2.db", edge, row)
    async with (
        party(tmp_path, 1, engine=ScriptedEngine(), recovers=True) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses(), recovers=True) as edge,
    ):
        held = await settled(edge, provider)
        assert held.receipt.receipt.finish_reason == "lost"
        assert 128 <= held.receipt.receipt.completion_tokens <= 150


async def test_after_a_crash_of_both_before_any_acknowledgement_nothing_is_owed(tmp_path: Path) -> None:
    async with party(tmp_path, 1, engine=stopping_at(50)) as provider:
        async with party(tmp_path, 2, join=provider.mesh.addresses()) as edge:
            await edge.until_known(provider)
            async with asking(edge, 50):
                row = OpenJobs(edge.store.database).all()[0]
                crash(edge)
                await until(lambda: OpenJobs(edge.store.database).all()[0].state == "broken")
        as_it_was(tmp_path / "2.db", edge, row)
    async with (
        party(tmp_path, 1, engine=ScriptedEngine(), recovers=True) as provider,
        party(tmp_path, 2, join=provider.mesh.addresses(), recovers=True) as edge,
    ):
        await until(lambda: not open_of(edge) and not open_of(provider))
        assert not edge.store.find("req_0")
        assert not provider.store.find("req_0")


async def test_a_provider_that_asks_gets_the_countersignature_that_it_missed(tmp_path: Path) -> None:
    async with pair(tmp_path, ScriptedEngine()) as (edge, provider):
        store = provider.store

        def never(*args: object, **kwargs: object) -> None:
            raise trio.BrokenResourceError("the disk is gone for a moment")

        kept, store.add_countersignature_soon = store.add_countersignature_soon, never  # type: ignore[method-assign]
        await collect(edge.coordinator, job())
        await until(lambda: provider.provider.jobs.running == 0)
        store.add_countersignature_soon = kept  # type: ignore[method-assign]
        assert paid(edge.store)
        assert not paid(store)
        (key,) = open_of(provider)
        assert [each.outcome for each in await provider.recovery.look()] == [SETTLED]
        assert not open_of(provider)
        assert paid(store)[0].countersignature == paid(edge.store)[0].countersignature
        assert key.side == "provided"
        assert await provider.recovery.look() == []


async def test_resolving_again_changes_nothing(tmp_path: Path) -> None:
    engine = ScriptedEngine(PIECES)
    engine.crash_at, engine.crash = 5, EngineCrashed("dead")
    async with pair(tmp_path, engine) as (edge, provider):
        await collect(edge.coordinator, job())
        (row,) = OpenJobs(edge.store.database).all()
        assert [each.outcome for each in await edge.recovery.look()] == [SETTLED]
        await settled(edge, provider, tokens=5)
        owed = edge.store.owed(coordinator=edge.peer_id, provider=provider.peer_id)
        for _ in range(2):  # as if the row had been forgotten to be closed
            OpenJobs(edge.store.database).open_soon(row).result()
            await edge.recovery.look()
        assert edge.store.owed(coordinator=edge.peer_id, provider=provider.peer_id) == owed
        assert len(paid(edge.store)) == len(paid(provider.store)) == 1


async def test_a_provider_that_never_comes_back_is_given_up(tmp_path: Path) -> None:
    async with party(tmp_path, 2, recovers=True, give_up_s=0.5) as edge:
        async with party(tmp_path, 1, engine=stopping_at(3), join=edge.mesh.addresses()) as provider:
            await edge.until_known(provider)
            async with asking(edge, 3):
                crash(provider)
                await until(lambda: not open_of(edge))
        (left,) = OpenJobs(edge.store.database).all()
        assert (left.state, left.credits) == (GIVEN_UP, 0)
        assert left.note


async def test_who_knows_nothing_of_a_part_says_so(tmp_path: Path) -> None:
    engine = ScriptedEngine(PIECES)
    engine.crash_at, engine.crash = 5, EngineCrashed("dead")
    async with pair(tmp_path, engine) as (edge, provider):
        await collect(edge.coordinator, job())
        (key,) = open_of(provider)
        OpenJobs(edge.store.database).close_soon(open_of(edge)[0]).result()
        assert [each.outcome for each in await provider.recovery.look()] == [NOTHING]
        await until(lambda: key not in open_of(provider))
