"""A soak's verdict: what may grow before the warm-up may not after it, and mapped files are nobody's leak."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import proc
import pytest
from chaos_growth import MEMORY, Row, chart, grown, warm_row


def row(jobs: int, *, mib: float = 50.0, streams: float = 0, tasks: float = 80, descriptors: float = 30) -> Row:
    node = {"streams": streams, "tasks": tasks, "descriptors": descriptors, MEMORY: mib}
    return jobs, {"edge": node, "worker": {"descriptors": 8.0, MEMORY: mib}}


def test_caches_may_fill_before_the_warm_up_is_over() -> None:
    rows = [row(500, mib=40.0), row(1000, mib=80.0), row(10_000, mib=83.9)]
    assert warm_row(rows, 1000) == 1
    assert grown(rows, warm_jobs=1000) == []


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (row(10_000, mib=54.2), "the edge went from 50.0 MiB after 1000 jobs to 54.2 after 10000"),
        (row(10_000, tasks=87), "the edge went from 80.0 tasks after 1000 jobs to 87.0 after 10000"),
        (row(10_000, descriptors=37), "the edge went from 30.0 descriptors after 1000 jobs to 37.0 after 10000"),
        (row(10_000, streams=1), "the edge still has 1 job streams"),
    ],
)
def test_whatever_grows_afterwards_is_named(last: Row, said: str) -> None:
    assert said in grown([row(500), row(1000), last], warm_jobs=1000)


def test_the_worker_is_held_to_the_same() -> None:
    broken = grown([row(1000), row(10_000, mib=60.0)], warm_jobs=1000)
    assert [said for said in broken if "worker" in said] == [
        "the worker went from 50.0 MiB after 1000 jobs to 60.0 after 10000"
    ]


def test_a_little_growth_makes_no_high_bars() -> None:
    assert chart([row(1, mib=50.0), row(2, mib=50.2)], "edge") == "    edge ▁▁  50.0 … 50.2, at most 50.2 MiB"
    assert "▁▅█" in chart([row(1, mib=0.0), row(2, mib=50.0), row(3, mib=100.0)], "edge")


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel does not tell")
def test_pages_of_a_mapped_file_are_no_anonymous_memory(tmp_path: Path) -> None:
    size = 32 << 20
    file = tmp_path / "model"
    file.write_bytes(b"x" * size)
    with file.open("rb") as opened:
        before, resident = proc.anonymous_mib(os.getpid()), proc.rss_mib(os.getpid())
        mapped = mmap.mmap(opened.fileno(), size, prot=mmap.PROT_READ)
        assert sum(mapped[at] for at in range(0, size, 4096)) > 0
        assert proc.rss_mib(os.getpid()) > resident + 24
        assert proc.anonymous_mib(os.getpid()) < before + 8
        mapped.close()
        own = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        own.write(b"x" * size)
        assert proc.anonymous_mib(os.getpid()) > before + 24
        own.close()
