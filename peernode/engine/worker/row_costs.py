"""What a step that only decodes costs, by its rows: measured where there were such steps, a line between those.

A first row reads the whole model; what another costs beside it differs tenfold between a CPU and a GPU, so nothing is
assumed that can be measured. Owns the averages; times in seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

_WEIGHT = 0.1
# So many steps make a price: one that was held up must not spoil it.
_TELLING = 3
# Beyond what was measured a row is taken to cost at most such a share of what rows cost there. That is hopeful, or
# nobody would ever find out.
_HOPE = 0.35
# A price that so many steps did not confirm is forgotten.
_FORGOTTEN = 2000


@dataclass(slots=True)
class _Seen:
    """Averages over steps of about as many rows, the last of them step number ``at``."""

    rows: float
    seconds: float
    at: int
    steps: int = 1

    def add(self, rows: int, seconds: float, at: int) -> None:
        self.at = at
        self.steps += 1
        weight = max(_WEIGHT, 1 / self.steps)
        self.rows += weight * (rows - self.rows)
        self.seconds += weight * (seconds - self.seconds)


class RowCosts:
    """``observe`` steps, then ask for ``seconds`` of others."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self._steps = 0

    def observe(self, rows: int, seconds: float) -> None:
        self._steps += 1
        bucket = _bucket(rows)
        if self._steps % _FORGOTTEN == 0:
            self._forget()
        seen = self._seen.get(bucket)
        if seen is not None:
            seen.add(rows, seconds, self._steps)
            return
        self._seen[bucket] = _Seen(rows, seconds, self._steps)
        self._seen = dict(sorted(self._seen.items()))

    def _forget(self) -> None:
        oldest = self._steps - _FORGOTTEN
        self._seen = {bucket: seen for bucket, seen in self._seen.items() if seen.at >= oldest}

    def seconds(self, rows: int) -> float:
        """0 before anything was observed."""
        seen = [one for one in self._seen.values() if one.steps >= _TELLING] or list(self._seen.values())
        if not seen:
            return 0.0
        at = bisect_left(seen, float(rows), key=lambda one: one.rows)
        if at == 0:
            return seen[0].seconds * rows / seen[0].rows
        below = seen[at - 1]
        if at < len(seen):
            above = seen[at]
            slope = (above.seconds - below.seconds) / (above.rows - below.rows)
        else:
            slope = _HOPE * below.seconds / below.rows
            if below.rows >= 2 * seen[0].rows:
                measured = (below.seconds - seen[0].seconds) / (below.rows - seen[0].rows)
                slope = min(slope, max(0.0, measured))
        return below.seconds + slope * (rows - below.rows)


def _bucket(rows: int) -> int:
    """Four and fewer by themselves; beyond, two to each doubling: 5 … 6, 7 … 8, 9 … 12, 13 … 16, 17 … 24, …"""
    if rows <= 4:
        return rows
    whole = 1 << (rows - 1).bit_length()
    return whole if rows > whole * 3 // 4 else whole * 3 // 4
