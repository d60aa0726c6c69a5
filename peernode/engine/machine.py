"""What this machine, or the container that we run in, has left: memory in bytes and CPUs by quota.

Owns the reading of /proc and of cgroups (version 2). Says None where the system does not say; never raises.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def available_memory(root: Path = ROOT) -> int | None:
    """Bytes that can be had without swapping, by the machine and by every cgroup above us."""
    found = [_machine_memory(root), *(_group_memory(group) for group in _groups(root))]
    return min((size for size in found if size is not None), default=None)


def cpu_quota(root: Path = ROOT) -> float | None:
    """CPUs' worth of time that we may use, by the tightest cgroup above us."""
    found = [_group_cpus(group) for group in _groups(root)]
    return min((cpus for cpus in found if cpus is not None), default=None)


def _groups(root: Path) -> Iterator[Path]:
    """Our cgroup and all above it: a limit anywhere on the way up holds for us."""
    own = next((line[3:] for line in _read(root / "proc/self/cgroup").splitlines() if line.startswith("0::")), None)
    if own is None:
        return
    top = root / "sys/fs/cgroup"
    group = top / own.strip().lstrip("/")
    yield group
    while group != top and top in group.parents:
        group = group.parent
        yield group


def _machine_memory(root: Path) -> int | None:
    for line in _read(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            kilobytes = _number(rest.removesuffix("kB"))
            return None if kilobytes is None else kilobytes * 1024
    return None


def _group_memory(group: Path) -> int | None:
    limit, used = _number(_read(group / "memory.max")), _number(_read(group / "memory.current"))
    if limit is None or used is None:
        return None
    # Cached file pages count as used, but they give way.
    cached = next(
        (
            _number(line.removeprefix("inactive_file "))
            for line in _read(group / "memory.stat").splitlines()
            if line.startswith("inactive_file ")
        ),
        0,
    )
    return max(limit - used + (cached or 0), 0)


def _group_cpus(group: Path) -> float | None:
    quota, _, period = _read(group / "cpu.max").strip().partition(" ")
    allowed, every = _number(quota), _number(period)
    return allowed / every if allowed and every else None


def whole_cpus(quota: float | None, cores: int) -> int:
    """Threads for a quota: rounded down, for threads that wait for a throttled one wait for all its pause."""
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""  # not this system's way to say it
