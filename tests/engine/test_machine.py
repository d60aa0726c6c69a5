"""Reading what a machine or a container has left, on made-up trees of /proc and /sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from peernode.engine.machine import available_memory, cpu_quota, whole_cpus
from peernode.engine.worker.cores import physical_cores, usable_cores

GIB = 1 << 30


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal:       33554432 kB\nMemAvailable:   16777216 kB\n"


def test_a_bare_machine(tmp_path: Path) -> None:
    root = machine(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n"})
    assert available_memory(root) == 16 * GIB
    assert cpu_quota(root) is None


def test_the_tightest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "1:name=systemd:/x\n0::/pod/box\n",
            "sys/fs/cgroup/pod/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/pod/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/pod/memory.current": f"{3 * GIB}\n",
            "sys/fs/cgroup/pod/memory.stat": f"anon 5\ninactive_file {GIB}\n",
            "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n",
            "sys/fs/cgroup/pod/box/memory.max": "max\n",
            "sys/fs/cgroup/pod/box/memory.current": "17\n",
        },
    )
    assert available_memory(root) == 2 * GIB
    assert cpu_quota(root) == 1.5


def test_a_full_group_has_nothing_left(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "100", "sys/fs/cgroup/memory.current": "200"},
    )
    assert available_memory(root) == 0


@pytest.mark.parametrize("text", ["", "max", "0 0", "-1 100000", "many 100000", "\xff", "100000"])
def test_nonsense_is_no_quota(tmp_path: Path, text: str) -> None:
    root = machine(tmp_path, {"proc/self/cgroup": "0::/../..\n", "sys/fs/cgroup/cpu.max": text})
    assert cpu_quota(root) is None
    assert available_memory(root) is None


@pytest.mark.parametrize(("quota", "threads"), [(None, 8), (0.5, 1), (1.0, 1), (2.9, 2), (64.0, 8)])
def test_a_quota_is_rounded_down(quota: float | None, threads: int) -> None:
    assert whole_cpus(quota, 8) == threads


def test_this_machine() -> None:
    assert 1 <= usable_cores() <= physical_cores()
    assert (available_memory() or 1) > 0
