"""How long models take to load on this machine: each by its own last loads, others by their size and the rate of those.

Owns one small file in the node's home, so that a restarted node can say honestly what a first job will wait for. Like
the digest cache it costs nothing but a worse guess when it is damaged, missing or cannot be written.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

# Before anything was loaded here: a slow disk, and the worker's start.
USUAL_RATE = 200e6
START_S = 1.0
# The share of a new load in what is expected of the next: files in the disk's cache load faster than others.
SHARE = 0.5
_FORMAT = 1
_MOST_MODELS = 256
_MOST_BYTES = 1 << 20


class LoadTimes:
    """Shared by all engines of a node; without ``path`` it keeps no file. Raises nothing."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._rate, self._models = self._read()

    def expected_s(self, model: Path, size_bytes: int) -> float:
        """About how long a load of ``model`` will take."""
        return self._models.get(str(model.absolute())) or START_S + size_bytes / self._rate

    def took(self, model: Path, size_bytes: int, seconds: float) -> None:
        """A load has come to its end. Writes a small file, so call it off the event loop."""
        with self._lock:
            known = self._models.pop(str(model.absolute()), seconds)
            self._models[str(model.absolute())] = known + (seconds - known) * SHARE
            while len(self._models) > _MOST_MODELS:
                self._models.pop(next(iter(self._models)))
            if seconds > START_S:  # the rest is the worker's start
                self._rate += (size_bytes / (seconds - START_S) - self._rate) * SHARE
            if self._path is None:
                return
            try:
                aside = self._path.with_suffix(".new")
                aside.write_text(json.dumps({"format": _FORMAT, "rate": self._rate, "models": self._models}))
                aside.replace(self._path)
            except OSError as err:
                log.warning("load_times_not_written", path=str(self._path), error=err.strerror)

    def _read(self) -> tuple[float, dict[str, float]]:
        try:
            if self._path is None:
                return USUAL_RATE, {}
            with self._path.open("rb") as file:
                found = json.loads(file.read(_MOST_BYTES))
            models = {str(model): float(seconds) for model, seconds in found["models"].items()}
            rate = float(found["rate"])
            if found["format"] == _FORMAT and rate > 0 and all(0 < seconds < 1e6 for seconds in models.values()):
                return rate, models
        except FileNotFoundError:
            return USUAL_RATE, {}
        except OSError as err:
            log.warning("load_times_not_read", path=str(self._path), error=err.strerror)
            return USUAL_RATE, {}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        log.warning("load_times_damaged", path=str(self._path))
        return USUAL_RATE, {}
