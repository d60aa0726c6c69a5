"""How many threads decode: all that were given while their cores are free, fewer while other programs want them.

llama.cpp's threads meet hundreds of times in a step and wait for each other by spinning. One that has lost its core
holds up all others for a whole slice of the scheduler, so that two threads beside one busy program are slower than one
alone. What they lost shows in the processor time of a step: threads that have their cores use all of it. Pure; times in
seconds, passed in.
"""

from __future__ import annotations

# So much of one core may be missing, lest the daemon's own work be taken for somebody else's.
_MISSED = 0.6
# Times are added up for so long before they are judged, over some steps, unless a single one takes ages.
_WINDOW_S = 0.25
_TRIAL_S = 0.06
_STEPS = 3
_AGES_S = 0.75
# All are tried again after so long, then after twice that, while it is in vain.
_FIRST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 60.0


class Crew:
    """``threads`` to decode with now; ``full`` are all there are. Tell it of each step."""

    def __init__(self, full: int) -> None:
        self.full = self.threads = full
        self._wall_s = self._processor_s = 0.0
        self._steps = 0
        self._pause_s = _FIRST_PAUSE_S
        self._again_at = 0.0
        self._on_trial = False

    def observe(self, wall_s: float, processor_s: float, now_s: float) -> bool:
        """A step took so long, and so much processor time of all threads; True when ``threads`` changed."""
        self._wall_s += wall_s
        self._processor_s += processor_s
        self._steps += 1
        if self.threads < self.full and now_s >= self._again_at:
            self._on_trial = True
            return self._change(self.full)
        if not self._is_telling():
            return False
        had = self._processor_s / self._wall_s
        if self.threads > 1 and had < self.threads - _MISSED:
            return self._retreat(had, now_s)
        if self.threads == self.full:
            self._pause_s = _FIRST_PAUSE_S
        return self._change(self.threads)

    def _is_telling(self) -> bool:
        window_s = _TRIAL_S if self._on_trial else _WINDOW_S
        return self._wall_s >= _AGES_S or (self._wall_s >= window_s and self._steps >= _STEPS)

    def _retreat(self, had: float, now_s: float) -> bool:
        if self._on_trial:
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._again_at = now_s + self._pause_s
        return self._change(max(1, min(self.threads - 1, round(had))))

    def _change(self, threads: int) -> bool:
        """Begin a new window, with so many."""
        changed = threads != self.threads
        self._on_trial &= changed and threads == self.full
        self.threads = threads
        self._wall_s = self._processor_s = 0.0
        self._steps = 0
        return changed
