"""How many threads a decode should use: one for each physical core that this process may run on, within its quota."""

from __future__ import annotations

import os
from pathlib import Path

from peernode.engine.machine import cpu_quota, whole_cpus


def usable_cores() -> int:
    """What to use unless the operator says otherwise; a container's CPU quota counts, too."""
    return whole_cpus(cpu_quota(), physical_cores())


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
