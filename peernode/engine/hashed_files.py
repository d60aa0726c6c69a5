"""The SHA-256 of one or several files that belong together, for as long as they stay what they were when looked at.

Blocks, so not for the event loop; tells of its progress from a trio thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import trio

from peernode.engine.digest_cache import DigestCache, FileStamp
from peernode.engine.errors import ModelLoadFailed

_CHUNK = 4 << 20
_TOLD_EVERY = 64 << 20


class HashedFiles:
    """``parts`` in order, as if they were one file; ``name`` is what the cache knows them by. Raises OSError."""

    def __init__(self, name: Path, parts: tuple[Path, ...], cache: DigestCache | None) -> None:
        self._name = name
        self._parts = parts
        self._cache = cache
        self._stamps = self._stamp()
        self._digest: bytes | None = None

    def __eq__(self, other: object) -> bool:
        """Whether both mean the same files in the same state."""
        return isinstance(other, HashedFiles) and (self._parts, self._stamps) == (other._parts, other._stamps)

    __hash__ = None  # type: ignore[assignment]  # the state of files is no key

    @property
    def size_bytes(self) -> int:
        return sum(stamp.size_bytes for stamp in self._stamps)

    def digest(self, on_progress: Callable[[int], None]) -> bytes:
        """``on_progress`` gets the bytes done so far, if anything is to be hashed.

        Raises OSError, or ModelLoadFailed when a file has changed.
        """
        self._check()
        if self._digest is None:
            digest = self._cache.find(self._name, self._stamps) if self._cache else None
            if digest is None:
                digest = self._hash(on_progress)
                self._check()
                if self._cache:
                    self._cache.keep(self._name, self._stamps, digest)
            self._digest = digest
        return self._digest

    def _check(self) -> None:
        if self._stamp() != self._stamps:
            raise ModelLoadFailed("The model file changed while it was read.", remedy="Load it again.")

    def _stamp(self) -> list[FileStamp]:
        return [FileStamp.of(part) for part in self._parts]

    def _hash(self, on_progress: Callable[[int], None]) -> bytes:
        hashed = hashlib.sha256()
        done = told = 0
        on_progress(0)
        for part in self._parts:
            with part.open("rb", buffering=0) as file:
                while chunk := file.read(_CHUNK):
                    trio.from_thread.check_cancelled()
                    hashed.update(chunk)
                    done += len(chunk)
                    if done - told >= _TOLD_EVERY:
                        told = done
                        on_progress(done)
        on_progress(done)
        return hashed.digest()
