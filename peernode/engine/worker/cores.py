"""How many threads a decode should use: one for each physical core that this process may run on."""

from __future__ import annotations

import os
from pathlib import Path


def physical_cores() -> int:
    """Hyper-threads of one core count once; where the system does not say, every CPU counts."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cpus = os.sched_getaffinity(0)
    siblings = set()
    for cpu in cpus:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        try:
            siblings.add(topology.read_text(encoding="ascii").strip())
        except OSError:
            return len(cpus)
    return len(siblings)
