"""Remembers model digests between starts, so that gigabytes are hashed once and not at every start.

Owns one small file in the node's home. It is a cache in every sense: damaged, missing or unwritable, it costs time
and nothing else. An entry counts only while every part of the model has the same inode, size and times.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger(__name__)

_FORMAT = 1
_MOST_MODELS = 256
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Changes when the file does. The change time is there because the modification time can be set back."""

    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        """Raises OSError."""
        found = path.stat()
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class DigestCache:
    """Shared by all engines of a node, and called from their threads. Raises nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def find(self, model: Path, stamps: Sequence[FileStamp]) -> bytes | None:
        """The SHA-256 of a model in this very state, if it was computed before."""
        with self._lock:
            entry = self._read().get(str(model.absolute()))
        if entry is None or entry["parts"] != [list(astuple(stamp)) for stamp in stamps]:
            return None
        return bytes.fromhex(entry["sha256"])

    def keep(self, model: Path, stamps: Sequence[FileStamp], digest: bytes) -> None:
        entry = {"parts": [list(astuple(stamp)) for stamp in stamps], "sha256": digest.hex()}
        with self._lock:
            models = self._read()
            models.pop(str(model.absolute()), None)
            models[str(model.absolute())] = entry  # the newest is last; the oldest go first
            while len(models) > _MOST_MODELS:
                models.pop(next(iter(models)))
            try:
                self._write(models)
            except OSError as err:
                log.warning("digest_cache_not_written", path=str(self._path), error=err.strerror)

    def _read(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                found = json.loads(file.read(_MOST_BYTES))
            if found["format"] != _FORMAT:
                return {}
            return {model: entry for model, entry in found["models"].items() if _is_entry(entry)}
        except FileNotFoundError:
            return {}
        except OSError as err:
            log.warning("digest_cache_not_read", path=str(self._path), error=err.strerror)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            log.warning("digest_cache_damaged", path=str(self._path))
        return {}

    def _write(self, models: dict[str, Any]) -> None:
        aside = self._path.with_suffix(".new")
        aside.unlink(missing_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT, "models": models}, file)
        aside.replace(self._path)


def _is_entry(entry: Any) -> bool:  # noqa: ANN401 - whatever JSON held
    if not isinstance(entry, dict) or not isinstance(entry.get("parts"), list):
        return False
    try:
        return len(bytes.fromhex(entry["sha256"])) == 32
    except (KeyError, ValueError, TypeError):
        return False
