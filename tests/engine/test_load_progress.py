"""Progress and its forecast: the slower track decides, and no forecast is better than a wild one."""

from __future__ import annotations

import pytest

from peernode.engine.load_progress import LoadProgress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_slower_track_decides() -> None:
    clock = Clock()
    progress = LoadProgress(clock)
    assert progress.fraction is None
    assert progress.eta_s is None
    progress.begin("load")
    progress.begin("hash")
    clock.now += 10
    progress.report("load", 0.5)
    assert (progress.fraction, progress.eta_s) == (0.0, None)
    progress.report("hash", 0.2)
    assert progress.fraction == 0.2
    assert progress.eta_s == pytest.approx(40)
    progress.report("hash", 1.0)
    assert progress.eta_s == pytest.approx(10)
    progress.report("load", 7.0)
    assert (progress.fraction, progress.eta_s) == (1.0, None)
    progress.reset()
    assert progress.fraction is None


def test_there_is_no_forecast_from_the_first_moments() -> None:
    clock = Clock()
    progress = LoadProgress(clock)
    progress.begin("load")
    progress.report("load", 0.9)
    assert progress.eta_s is None
    clock.now += 60
    progress.report("load", 0.05)
    assert progress.eta_s is None
