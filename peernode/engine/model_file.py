"""The identity of a model file: its SHA-256, computed off the event loop and kept while the file stays the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import trio

from peernode.engine.errors import ModelLoadFailed

_CHUNK = 4 << 20


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Changes when the file does, as far as the file system tells."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int


class ModelFile:
    """``digest`` hashes at most once for each state of the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: tuple[FileStamp, bytes] | None = None

    async def digest(self) -> tuple[bytes, int]:
        """SHA-256 and size in bytes. Raises ModelLoadFailed when the file cannot be read or changes meanwhile."""
        try:
            stamp = self._stamp()
            if self._known is None or self._known[0] != stamp:
                hashed = await trio.to_thread.run_sync(self._hash)
                if self._stamp() != stamp:
                    raise ModelLoadFailed("The model file changed while it was read.", remedy="Load it again.")
                self._known = (stamp, hashed)
        except OSError as err:
            raise ModelLoadFailed(
                "The model file cannot be read.",
                cause=err.strerror or type(err).__name__,
                remedy="Check the path and its permissions.",
            ) from err
        return self._known[1], stamp.size_bytes

    def _stamp(self) -> FileStamp:
        stat = self.path.stat()
        return FileStamp(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)

    def _hash(self) -> bytes:
        hashed = hashlib.sha256()
        with self.path.open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                trio.from_thread.check_cancelled()
                hashed.update(chunk)
        return hashed.digest()
