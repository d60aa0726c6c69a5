"""Models that are loaded with their first job, unloaded when idle, and give way to each other; on real workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import trio

from peernode.chat.errors import FirstTokenTimeout, ProviderBusy, ProviderFailed
from peernode.chat.events import Tokens
from peernode.engine import Engine, EngineSettings, ModelLoadFailed
from peernode.engine.memory_budget import MemoryBudget
from tests.engine.asking import Reply, ask, job
from tests.models import write_tiny_model

pytestmark = pytest.mark.real

MIB = 1 << 20
LAZY = EngineSettings(context=256, threads=1, slots=2, kv_tokens=1024, lazy=True, idle_timeout_s=None)
Start = Callable[..., Engine]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf")


@pytest.fixture
async def start(nursery: trio.Nursery, tiny: Path) -> Start:
    """``start(name, …)`` runs an engine without waiting for anything."""

    def run(name: str = "lazy", *, budget: MemoryBudget | None = None, path: Path = tiny, **changes: object) -> Engine:
        engine = Engine(name, path, replace(LAZY, **changes), budget=budget)
        nursery.start_soon(engine.run)
        return engine

    return run


async def until(engine: Engine, holds: Callable[[], bool]) -> None:
    with trio.fail_after(30):
        version = engine.version
        while not holds():
            version = await engine.wait_change(version)


async def reaches(engine: Engine, state: str) -> None:
    await until(engine, lambda: engine.state == state)


def room_for_one() -> MemoryBudget:
    """A tiny model counts as a bit more than 256 MiB, so two of them do not fit."""
    return MemoryBudget(limit=400 * MIB)


async def test_the_first_job_loads_the_model_and_idleness_unloads_it(start: Start) -> None:
    engine = start(idle_timeout_s=0.2)
    await reaches(engine, "unloaded")
    assert engine.worker_pid is None
    assert engine.takes_jobs
    foreseen = engine.facts
    with trio.fail_after(30):
        first = await ask(engine, job("Hello"))
    assert first.ids
    worker = psutil.Process(engine.worker_pid)
    found = engine.facts
    assert foreseen is not None
    assert found is not None
    assert found.template_digest
    assert foreseen == replace(found, template_digest=b"", sampler_version="")
    await until(engine, lambda: engine.worker_pid is None)
    assert engine.state == "unloaded"
    assert not worker.is_running()
    with trio.fail_after(30):
        assert (await ask(engine, job("Hello"))).ids == first.ids


async def test_a_running_job_is_not_idleness(start: Start) -> None:
    engine = start(idle_timeout_s=0.0, context=2048, kv_tokens=2048)
    await reaches(engine, "unloaded")
    with trio.fail_after(30):
        assert len((await ask(engine, job("Hello", max_tokens=300, temperature=1.0))).ids) > 1
    await reaches(engine, "unloaded")


async def test_jobs_that_come_during_a_load_all_run(start: Start) -> None:
    engine = start(slots=2, queue_limit=3)
    await reaches(engine, "unloaded")
    replies: dict[int, Reply] = {}

    async def keep(number: int) -> None:
        replies[number] = await ask(engine, job(f"Hello {number}", max_tokens=4))

    with trio.fail_after(30):
        async with trio.open_nursery() as asking:
            for number in range(5):
                asking.start_soon(keep, number)
            await until(engine, lambda: engine.waiting == 5)
            assert isinstance((await ask(engine, job("one too many"))).error, ProviderBusy)
    assert all(replies[number].ids for number in range(5))


async def test_a_job_waits_no_longer_than_for_its_first_token(start: Start) -> None:
    engine = start()
    await reaches(engine, "unloaded")
    with trio.fail_after(30):
        late = await ask(engine, replace(job("Hello"), first_token_s=0.01))
    assert isinstance(late.error, FirstTokenTimeout)
    await reaches(engine, "ready")  # for whoever tries again
    assert (await ask(engine, job("Hello"))).ids


async def test_a_job_that_leaves_while_its_model_loads_is_forgotten(start: Start) -> None:
    engine = start()
    await reaches(engine, "unloaded")
    async with engine.open(job("Hello")):
        assert engine.waiting == 1
    assert engine.waiting == 0


async def test_a_worker_killed_while_it_loads_is_replaced_and_the_job_answered(start: Start) -> None:
    engine = start()
    await reaches(engine, "unloaded")
    async with engine.open(job("Hello", max_tokens=3)) as stream:
        with trio.fail_after(30):
            while engine.worker_pid is None:
                await trio.lowlevel.checkpoint()
        assert engine.state == "loading"
        killed = engine.worker_pid
        os.kill(killed, signal.SIGKILL)
        with trio.fail_after(30):
            said = [event async for event in stream]
    assert any(isinstance(event, Tokens) for event in said)
    assert engine.worker_pid != killed


async def test_a_worker_that_never_survives_loading_ends_its_jobs(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start()
    await reaches(engine, "unloaded")
    monkeypatch.setattr("sys.executable", "/bin/false")
    with trio.fail_after(30):
        assert isinstance((await ask(engine, job("Hello"))).error, ProviderFailed)
    assert engine.state == "failed"
    assert not engine.takes_jobs


async def test_a_damaged_file_is_found_before_any_job_comes(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + bytes(200))
    engine = start(path=path)
    with trio.fail_after(30), pytest.raises(ModelLoadFailed):
        await engine.wait_ready()
    assert not engine.takes_jobs


async def test_the_least_recently_used_idle_model_gives_way(start: Start) -> None:
    budget = MemoryBudget(limit=700 * MIB)  # two of them fit, three do not
    first, second, third = (start(name, budget=budget) for name in ("first", "second", "third"))
    for engine in (first, second, third):
        await reaches(engine, "unloaded")
    with trio.fail_after(60):
        await ask(first, job("Hello", max_tokens=2))
        await ask(second, job("Hello", max_tokens=2))
        await ask(first, job("Hello", max_tokens=2))
        assert (await ask(third, job("Hello", max_tokens=2))).ids
    assert (first.state, second.state, third.state) == ("ready", "unloaded", "ready")
    with trio.fail_after(60):
        assert (await ask(second, job("Hello", max_tokens=2))).ids
    assert (first.state, second.state, third.state) == ("unloaded", "ready", "ready")


async def test_a_busy_model_is_waited_for(start: Start) -> None:
    budget = room_for_one()
    busy, other = start("busy", budget=budget, context=2048, kv_tokens=2048), start("other", budget=budget)
    await reaches(busy, "unloaded")
    await reaches(other, "unloaded")
    async with busy.open(job("Hello", max_tokens=1900, temperature=1.0)) as stream:
        async for event in stream:
            if isinstance(event, Tokens):
                break
        os.kill(busy.worker_pid or 0, signal.SIGSTOP)  # so that it stays busy
        impatient = await ask(other, replace(job("Hello"), first_token_s=0.2))
        assert isinstance(impatient.error, FirstTokenTimeout)
        await reaches(other, "unloaded")
        assert busy.state == "ready"
        os.kill(busy.worker_pid or 0, signal.SIGCONT)
    with trio.fail_after(30):
        assert (await ask(other, job("Hello", max_tokens=2))).ids
    assert busy.state == "unloaded"


async def test_an_eager_model_never_gives_way(start: Start) -> None:
    budget = room_for_one()
    eager = start("eager", budget=budget, lazy=False)
    with trio.fail_after(30):
        await eager.wait_ready()
    lazy = start("lazy", budget=budget)
    await reaches(lazy, "unloaded")
    with trio.fail_after(30):
        refused = (await ask(lazy, job("Hello"))).error
    assert isinstance(refused, ProviderBusy)
    assert "memory" in refused.sentence
    assert (eager.state, lazy.state) == ("ready", "unloaded")
    assert lazy.takes_jobs  # there may be memory another time
