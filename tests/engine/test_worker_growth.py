"""However many jobs a real worker has run, a tenth of them cancelled, it holds no more than its caches may."""

from __future__ import annotations

from pathlib import Path

import pytest

from peernode.chat.request import ChatRequest, Message, Sampling
from peernode.engine.settings import EngineSettings
from tests.engine.worker_driver import WorkerDriver
from tests.models import write_tiny_model

AT_ONCE = 8
SHORT_TOKENS, LONG_TOKENS = 6, 300
WARM_JOBS, JOBS = 800, 2400
# A job leaves 9 KB in the cache: full after 120, and without its bound 1 600 jobs would leave 14 MiB.
CACHE_MIB = 1
MOST_MORE = 2 << 20

pytestmark = pytest.mark.real


@pytest.fixture
def worker(tmp_path: Path):
    settings = EngineSettings(threads=1, slots=AT_ONCE, prefix_cache_mib=CACHE_MIB)
    with WorkerDriver(write_tiny_model(tmp_path / "tiny.gguf"), settings) as driver:
        yield driver


def run(worker: WorkerDriver, numbers: range) -> None:
    """Ask one job for each number; every tenth is cancelled once it has said something, the fifth payer comes back."""
    waiting = list(reversed(numbers))
    running: dict[int, bool] = {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            number = waiting.pop()
            hangs_up = number % 10 == 0
            tokens = LONG_TOKENS if hangs_up else SHORT_TOKENS
            request = ChatRequest((Message("user", f"{number}"),), tokens, (), Sampling.of())
            payer = "again" if number % 5 == 0 else f"once {number}"
            running[worker.submit(request, seed=number, payer=payer)] = hangs_up
        worker.read()
        for job, hangs_up in list(running.items()):
            told = worker.told[job]
            if told.over:
                assert told.end in ({"cancelled", "length", "stop"} if hangs_up else {"length", "stop"})
                del running[job], worker.told[job]
            elif hangs_up and told.ids:
                worker.cancel(job)


def test_thousands_of_jobs_leave_no_memory_behind(worker: WorkerDriver) -> None:
    run(worker, range(WARM_JOBS))
    warm = worker.memory
    run(worker, range(WARM_JOBS, JOBS))
    assert worker.last.free_slots == AT_ONCE
    assert worker.memory <= warm + MOST_MORE
