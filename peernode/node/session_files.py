"""Kept conversations as files of the home: ``sessions/<key id>/<session id>``, readable by the node's user alone.

The names are ids that were checked: a key's, which the ledger made, and a UUID's canonical text. A file's own time is
that of the session's last answer.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from peernode.edge.sessions.memory import SessionName
from peernode.edge.sessions.store import KeptSession

DAY_S = 86_400.0
SWEEP_S = 3600.0
_OWNER = re.compile(r"[0-9a-z]{1,16}")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class SessionFiles:
    """Implements the edge's SessionStore. ``clock`` gives Unix seconds."""

    def __init__(self, root: Path, *, per_key: int, days: float, clock: Callable[[], float]) -> None:
        self.per_key = per_key
        self.days = days
        self._root = root
        self._clock = clock
        self._swept_s = -SWEEP_S

    def load(self, name: SessionName) -> bytes | None:
        self._sweep()
        try:
            return None if self._is_old(self._path(name)) else self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def save(self, name: SessionName, kept: bytes) -> None:
        path = self._path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = path.with_name(f".{secrets.token_hex(8)}")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(kept)
                file.flush()
                os.fsync(file.fileno())
            os.utime(aside, (self._clock(), self._clock()))
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    def delete(self, name: SessionName) -> bool:
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            return False
        return True

    def list(self, owner: str) -> Sequence[KeptSession]:
        self._sweep()
        found = []
        for path in self._files(self._folder(owner)):
            with suppress(FileNotFoundError):
                state = path.stat()
                found.append(KeptSession(path.name, state.st_size, state.st_mtime))
        return sorted(found, key=lambda each: (-each.used_s, each.id))

    def _path(self, name: SessionName) -> Path:
        if not _ID.fullmatch(name.id):
            raise ValueError("a session's id is a UUID")
        return self._folder(name.owner) / name.id

    def _folder(self, owner: str) -> Path:
        if not _OWNER.fullmatch(owner):
            raise ValueError("a session's owner is a key's id")
        return self._root / owner

    def _files(self, folder: Path) -> Iterator[Path]:
        with suppress(FileNotFoundError, NotADirectoryError):
            yield from (path for path in sorted(folder.iterdir()) if _ID.fullmatch(path.name))

    def _is_old(self, path: Path) -> bool:
        return path.stat().st_mtime + self.days * DAY_S < self._clock()

    def _sweep(self) -> None:
        """Forget what is too old, once an hour."""
        if self._clock() < self._swept_s + SWEEP_S:
            return
        self._swept_s = self._clock()
        with suppress(FileNotFoundError):
            for folder in sorted(self._root.iterdir()):
                for path in self._files(folder):
                    with suppress(FileNotFoundError):
                        if self._is_old(path):
                            path.unlink()
