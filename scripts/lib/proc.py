"""What Linux says of a process: its CPU time, memory, descriptors and children, read from /proc.

Every function raises OSError (FileNotFoundError, ProcessLookupError) when the process is gone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


def cpu_s(pid: int) -> float:
    """Seconds of CPU, in user and kernel, of all its threads so far; its children apart. To a clock tick (10 ms)."""
    # The name in parentheses may hold anything; fields 14 and 15 of proc(5) are counted from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def rss_mib(pid: int) -> float:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / (1 << 20)


def anonymous_mib(pid: int) -> float:
    """Resident memory that belongs to no file: heaps, stacks and private mappings."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Anonymous:")).split()[1]) / 1024


def descriptors(pid: int) -> int:
    """Open file descriptors."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def sockets(pid: int) -> int:
    """Those of its descriptors that are sockets."""
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found += str(descriptor.readlink()).startswith("socket:")
    return found


def children(pid: int) -> list[int]:
    """The ids of its children, whichever thread started them."""
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]
