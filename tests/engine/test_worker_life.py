"""What a worker's death, a bad file and a dead owner lead to: typed ends, a new worker, and nothing left behind."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
import trio

from peernode.chat.errors import EngineCrashed, ProviderBusy
from peernode.chat.events import Tokens
from peernode.engine import Engine, EngineSettings, ModelLoadFailed
from tests.engine.asking import ask, job, read
from tests.engine.conftest import running
from tests.models import write_tiny_model

pytestmark = pytest.mark.real

Start = Callable[..., Awaitable[Engine]]

OWNER = """
import sys, trio
from pathlib import Path
from peernode.engine import Engine, EngineSettings

async def main():
    engine = Engine("owned", Path(sys.argv[1]), EngineSettings(context=256, threads=1))
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        await engine.wait_ready()
        print(engine.worker_pid, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf")


async def test_a_killed_worker_fails_its_jobs_and_is_replaced(ready_engine: Start, tiny: Path) -> None:
    engine = await ready_engine(tiny, threads=1, context=2048)
    before = engine.worker_pid
    assert before is not None
    async with engine.open(job("Hello", max_tokens=1900, temperature=1.0)) as stream:
        async for event in stream:
            if isinstance(event, Tokens):
                break
        os.kill(before, signal.SIGSTOP)  # so that the answer cannot end before the blow
        os.kill(before, signal.SIGKILL)
        rest = [event async for event in stream]
    assert isinstance(rest[-1].error, EngineCrashed)
    assert engine.state == "restarting"
    assert isinstance((await ask(engine, job("Hello"))).error, ProviderBusy)
    with trio.fail_after(30):
        await engine.wait_ready()
    assert engine.worker_pid != before
    assert (await ask(engine, job("Hello", max_tokens=3))).ids


async def test_a_worker_that_hangs_is_taken_for_dead(
    ready_engine: Start, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peernode.engine.session._STEP_SILENCE_S", 0.3)
    engine = await ready_engine(tiny, threads=1)
    assert engine.worker_pid is not None
    os.kill(engine.worker_pid, signal.SIGSTOP)
    with trio.fail_after(30):
        assert isinstance((await ask(engine, job("Hello"))).error, EngineCrashed)
        await engine.wait_ready()


async def test_an_engine_that_ends_takes_its_worker_along(tiny: Path) -> None:
    async with running(tiny, EngineSettings(context=256, threads=1)) as engine:
        await engine.wait_ready()
        worker = psutil.Process(engine.worker_pid)
    assert engine.state == "stopped"
    assert not worker.is_running()


async def test_jobs_of_an_engine_that_ends_fail(tiny: Path) -> None:
    async with running(tiny, EngineSettings(context=256, threads=1)) as engine:
        await engine.wait_ready()
        cut = engine.open(job("Hello", max_tokens=200, temperature=1.0))
        stream = await cut.__aenter__()
    reply = await read(stream)
    await cut.__aexit__(None, None, None)
    assert reply.error.code in {"engine_crashed", "busy"}


async def test_a_worker_that_does_not_listen_is_ended_all_the_same(tiny: Path) -> None:
    async with running(tiny, EngineSettings(context=256, threads=1)) as engine:
        await engine.wait_ready()
        worker = psutil.Process(engine.worker_pid)
        os.kill(worker.pid, signal.SIGSTOP)
    assert not worker.is_running()


def test_a_killed_owner_leaves_no_worker(tiny: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tiny)], stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            # The log goes to standard output, too; the line that is only a number is the worker's process id.
            pid = next(int(line) for line in owner.stdout if line.strip().isdigit())
            worker = psutil.Process(pid)
        finally:
            owner.kill()
    worker.wait(timeout=10)


async def failure_of(path: Path) -> ModelLoadFailed:
    async with running(path, EngineSettings(context=256, threads=1)) as engine:
        with trio.fail_after(60), pytest.raises(ModelLoadFailed) as failure:
            await engine.wait_ready()
        assert engine.state == "failed"
        assert (await ask(engine, job("Hello"))).error.code == "provider_failed"
    assert failure.value.code == "model_load_failed"
    return failure.value


async def test_garbage_is_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "garbage.gguf"
    path.write_bytes(b"GGUF" + bytes(range(256)) * 50)
    assert (await failure_of(path)).remedy


async def test_half_a_model_is_not_a_model(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    path.write_bytes(tiny.read_bytes()[: tiny.stat().st_size // 2])
    await failure_of(path)


async def test_a_missing_file_is_not_a_model(tmp_path: Path) -> None:
    await failure_of(tmp_path / "missing.gguf")


async def test_a_worker_that_never_survives_loading_is_given_up(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    failure = await failure_of(tiny)
    assert "dies" in failure.sentence


async def test_a_worker_that_cannot_be_started_is_given_up(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    await failure_of(tiny)


async def test_waiters_learn_of_every_change(tiny: Path) -> None:
    async with running(tiny, EngineSettings(context=2048, threads=1, slots=1)) as engine:
        version = engine.version
        with trio.fail_after(30):
            while engine.state != "ready":
                version = await engine.wait_change(version)
            async with engine.open(job("Hello", max_tokens=1900, temperature=1.0)) as stream:
                async for event in stream:
                    if isinstance(event, Tokens):
                        break
                assert engine.load().free_slots == 0
            while engine.load().free_slots == 0:
                version = await engine.wait_change(version)


async def test_an_endless_template_is_refused_when_the_model_is_loaded(tmp_path: Path) -> None:
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    failure = await failure_of(write_tiny_model(tmp_path / "endless.gguf", template=endless))
    assert "template" in failure.sentence
    assert "long" in failure.cause


async def test_a_model_without_a_template_gets_chatml(ready_engine: Start, tmp_path: Path) -> None:
    engine = await ready_engine(write_tiny_model(tmp_path / "bare.gguf", template=None), threads=1, context=256)
    assert (await ask(engine, job("Hello", max_tokens=3, temperature=1.0))).ids


async def test_a_split_model_answers_like_the_whole_one(ready_engine: Start, tiny: Path, tmp_path: Path) -> None:
    first = write_tiny_model(tmp_path / "parts.gguf", tensors_per_part=8)
    whole, split = await ready_engine(tiny, threads=1), await ready_engine(first, threads=1)
    parts = sorted(tmp_path.glob("parts-*.gguf"))
    assert len(parts) == 3
    assert whole.facts is not None
    assert split.facts is not None
    assert split.facts.parameters == whole.facts.parameters
    assert split.facts.size_bytes == sum(part.stat().st_size for part in parts)
    assert split.facts.digest == hashlib.sha256(b"".join(part.read_bytes() for part in parts)).digest()
    assert (await ask(split, job("Hello"))).ids == (await ask(whole, job("Hello"))).ids


async def test_a_lost_part_is_named(tmp_path: Path) -> None:
    first = write_tiny_model(tmp_path / "parts.gguf", tensors_per_part=8)
    lost = sorted(tmp_path.glob("parts-*.gguf"))[1]
    lost.unlink()
    assert (await failure_of(first)).cause == str(lost)
