"""A node's home directory: what lies where in it, that it is private, and that one node at a time lives there.

Owns paths, the lock and ``admin.json`` (how the command line finds a running node); the files' contents belong to
those who write them.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from peernode.errors import PeernodeError

_MAX_ADMIN_FILE = 4096


class HomeError(PeernodeError):
    """The home directory cannot be used."""

    code = "bad_home"


class HomeInUse(HomeError):
    """Another node runs in this home."""

    code = "home_in_use"


@dataclass(frozen=True, slots=True)
class AdminAccess:
    """How to reach a running node's admin API."""

    url: str
    token: str
    pid: int

    def __repr__(self) -> str:  # never the token
        return f"AdminAccess(url={self.url!r}, pid={self.pid})"


@dataclass(frozen=True, slots=True)
class Home:
    """The paths inside one home directory."""

    path: Path

    @property
    def key_file(self) -> Path:
        return self.path / "node.key"

    @property
    def ledger_file(self) -> Path:
        return self.path / "ledger.db"

    @property
    def digest_file(self) -> Path:
        return self.path / "model-digests.json"

    @property
    def load_times_file(self) -> Path:
        return self.path / "load-times.json"

    @property
    def sessions_folder(self) -> Path:
        return self.path / "sessions"

    @property
    def admin_file(self) -> Path:
        return self.path / "admin.json"

    @property
    def lock_file(self) -> Path:
        return self.path / "node.lock"

    def prepare(self) -> None:
        """Make the directory, private to its owner. Raises HomeError when it cannot be that."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.path.stat()
            if found.st_uid != os.geteuid():
                raise HomeError("The home directory belongs to another user.", cause=str(self.path))
            if stat.S_IMODE(found.st_mode) & 0o022:
                raise HomeError(
                    "Others may write into the home directory.",
                    cause=f"{self.path} has mode {stat.S_IMODE(found.st_mode):04o}",
                    remedy=f"chmod 700 {self.path}",
                )
        except OSError as err:
            raise HomeError(
                "The home directory cannot be used.",
                cause=f"{self.path}: {(err.strerror or type(err).__name__).lower()}",
                remedy="Name another with --home DIR.",
            ) from err

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """Prepare the directory and hold its lock; the operating system lets go of it if we die. Raises HomeInUse."""
        self.prepare()
        handle = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as err:
                pid = os.read(handle, 20).decode("ascii", "replace").strip() or "unknown"
                raise HomeInUse(
                    "Another node runs in this home.",
                    cause=f"{self.path} is held by process {pid}",
                    remedy="Stop that node, or give this one another --home DIR.",
                ) from err
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
            yield
        finally:
            os.close(handle)

    def write_admin(self, access: AdminAccess) -> None:
        """Tell the command line how to reach this node; only the owner can read it."""
        aside = self.admin_file.with_suffix(".new")
        aside.unlink(missing_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"url": access.url, "token": access.token, "pid": access.pid}, file)
        aside.replace(self.admin_file)

    def read_admin(self) -> AdminAccess | None:
        """How to reach the node that runs here; None when nothing says that one does. Raises HomeError."""
        try:
            text = self.admin_file.read_bytes()[:_MAX_ADMIN_FILE]
            found = json.loads(text)
            return AdminAccess(str(found["url"]), str(found["token"]), int(found["pid"]))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as err:
            raise HomeError(
                "This node's admin.json cannot be read.", cause=f"{self.admin_file}: {(err.strerror or '').lower()}"
            ) from err
        except (ValueError, KeyError, TypeError):
            raise HomeError("This node's admin.json is damaged.", cause=str(self.admin_file)) from None

    def remove_admin(self) -> None:
        """Forget it when the node stops."""
        self.admin_file.unlink(missing_ok=True)
