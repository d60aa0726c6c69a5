"""Says what a soak's processes hold more of than they should, from rows of what they held. Pure.

Memory is anonymous memory: what a process has made itself. Pages of mapped files (the model, libraries) become
resident one after another and go again as the kernel likes, so that they say nothing of leaks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

# What each process holds, by its name and what is counted; and after how many jobs.
Held: TypeAlias = Mapping[str, Mapping[str, float]]
Row: TypeAlias = tuple[int, Held]

MEMORY = "MiB"
STREAMS = "streams"
# More than after the warm-up: what is just being cleaned up, and what a heap's gaps take.
MOST_MORE: Mapping[str, float] = {"tasks": 6, "descriptors": 6, MEMORY: 4.0}
_BARS = "▁▂▃▄▅▆▇█"


def warm_row(rows: Sequence[Row], warm_jobs: int) -> int:
    """The first row after at least so many jobs: caches are full by then."""
    return next(at for at, (jobs, _) in enumerate(rows) if jobs >= warm_jobs)


def grown(rows: Sequence[Row], *, warm_jobs: int) -> list[str]:
    """One sentence for each thing that there is more of after the last row than there may be."""
    base, last = rows[warm_row(rows, warm_jobs)], rows[-1]
    broken = []
    for process, held in last[1].items():
        for name, most_more in MOST_MORE.items():
            before = base[1][process].get(name, 0.0)
            if held.get(name, 0.0) > before + most_more:
                said = f"the {process} went from {before:.1f} {name} after {base[0]} jobs"
                broken.append(f"{said} to {held[name]:.1f} after {last[0]}")
        if held.get(STREAMS):
            broken.append(f"the {process} still has {held[STREAMS]:.0f} job streams")
    return broken


def chart(rows: Sequence[Row], process: str, *, most_more: float = MOST_MORE[MEMORY]) -> str:
    """A process's memory, one bar for each row; the whole height is at least what it may grow by."""
    values = [held[process][MEMORY] for _, held in rows]
    least, most = min(values), max(values)
    height = max(most - least, most_more)
    bars = "".join(_BARS[round((value - least) / height * (len(_BARS) - 1))] for value in values)
    return f"{process:>8} {bars}  {values[0]:.1f} … {values[-1]:.1f}, at most {most:.1f} {MEMORY}"
