"""How far a model's load has come and when it will be done, as far as that can honestly be said.

Hashing and loading run side by side; the slower one decides. Pure: the clock is passed in.
"""

from __future__ import annotations

from collections.abc import Callable

# Below these, a guess from the rate so far says more about disk caches and start-up than about the rest.
_LEAST_FRACTION = 0.1
_LEAST_ELAPSED_S = 0.5


class LoadProgress:
    """Each named track has a fraction done; its pace counts from its ``begin``."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tracks: dict[str, tuple[float, float]] = {}

    def reset(self) -> None:
        self._tracks.clear()

    def begin(self, track: str) -> None:
        self._tracks[track] = (self._clock(), 0.0)

    def report(self, track: str, fraction: float) -> None:
        if track not in self._tracks:
            self.begin(track)
        self._tracks[track] = (self._tracks[track][0], min(max(fraction, 0.0), 1.0))

    @property
    def fraction(self) -> float | None:
        """What is done of the slowest track; None while there is nothing to do."""
        return min((done for _, done in self._tracks.values()), default=None)

    @property
    def eta_s(self) -> float | None:
        """Seconds until the last track is done, at each one's pace so far; None until that is more than a guess."""
        if not self._tracks:
            return None
        now, latest = self._clock(), 0.0
        unfinished = [(now - began, done) for began, done in self._tracks.values() if done < 1.0]
        for elapsed_s, done in unfinished:
            if done < _LEAST_FRACTION or elapsed_s < _LEAST_ELAPSED_S:
                return None
            latest = max(latest, elapsed_s * (1.0 - done) / done)
        return latest if unfinished else None
