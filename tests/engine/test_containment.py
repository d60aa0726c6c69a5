"""What a worker process may do: the limits as the system sees them, and what they turn into an error."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from peernode.engine import Engine, EngineSettings, ModelLoadFailed
from tests.engine.conftest import running
from tests.models import write_tiny_model

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

Start = Callable[..., Awaitable[Engine]]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf")


async def test_a_worker_is_bounded(
    ready_engine: Start, tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PEERNODE_SECRET", "whisper")
    inherited = os.open(tmp_path / "tiny.gguf", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        engine = await ready_engine(tiny, threads=1, context=256)
    finally:
        os.close(inherited)
    process = Path(f"/proc/{engine.worker_pid}")
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (process / "limits").read_text().splitlines()}
    assert limits["Max core file size"] == ["0", "0"]
    assert int(limits["Max open files"][1]) <= 1024
    assert limits["Max data size"][1] != "unlimited"
    assert "NoNewPrivs:\t1" in (process / "status").read_text()
    assert int((process / "oom_score_adj").read_text()) >= 500
    assert b"whisper" not in (process / "environ").read_bytes()
    files = [str(link.readlink()) for link in (process / "fd").iterdir()]
    assert sum(name.startswith("socket:") for name in files) == 1
    assert len([name for name in files if name.endswith("tiny.gguf")]) <= 1  # the weights, if they are mapped


async def test_a_context_beyond_all_memory_is_an_error_and_not_a_death(tiny: Path) -> None:
    async with running(tiny, EngineSettings(kv_tokens=1 << 30, threads=1)) as engine:
        with trio.fail_after(30), pytest.raises(ModelLoadFailed) as failure:
            await engine.wait_ready()
    assert "no memory" in failure.value.sentence


def test_private_memory_ends_at_the_limit_and_mapped_files_do_not_count(tmp_path: Path) -> None:
    program = """
import mmap, sys
from peernode.engine.worker.lifeline import limit_data
limit_data(0)  # means the least
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
print(len(mapped))
try:
    bytearray(2 << 30)
except MemoryError:
    print("refused")
"""
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(8 << 30)
    done = subprocess.run(
        [sys.executable, "-c", program, sparse], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split() == [str(8 << 30), "refused"]
