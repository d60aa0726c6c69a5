"""A model's files: validated headers, and their identity, a SHA-256 computed off the event loop and kept while the
files stay the same.

Owns the order of things: headers first, for nothing else may look at a file whose header lies; then the digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import trio

from peernode.engine.digest_cache import DigestCache, FileStamp
from peernode.engine.errors import ModelLoadFailed
from peernode.engine.gguf_model import ModelHeader
from peernode.engine.model_parts import InspectedModel, inspect_model

_CHUNK = 4 << 20
_TOLD_EVERY = 64 << 20


class ModelFile:
    """``inspect`` first. The digest of a split model is over all its parts in order, as if they were one file."""

    def __init__(self, path: Path, cache: DigestCache | None = None) -> None:
        self.path = path
        self._cache = cache
        self._parts: tuple[Path, ...] = (path,)
        self._stamps: list[FileStamp] = []
        self._known: tuple[list[FileStamp], bytes] | None = None

    async def inspect(self) -> ModelHeader:
        """Validate all headers. Raises ModelLoadFailed."""
        self._stamps, inspected = await trio.to_thread.run_sync(self._inspect)
        self._parts = inspected.paths
        return inspected.header

    async def digest(self, on_progress: Callable[[float], None] = lambda _: None) -> tuple[bytes, int]:
        """SHA-256 and size in bytes. ``on_progress`` gets fractions, from 0 to 1, if there is anything to hash.

        Raises ModelLoadFailed when a file cannot be read or is not what was inspected.
        """
        try:
            return await trio.to_thread.run_sync(self._digest, on_progress)
        except OSError as err:
            raise ModelLoadFailed(
                "The model file cannot be read.",
                cause=err.strerror or type(err).__name__,
                remedy="Check the path and its permissions.",
            ) from err

    def _inspect(self) -> tuple[list[FileStamp], InspectedModel]:
        inspected = inspect_model(self.path)
        try:
            return [FileStamp.of(part) for part in inspected.paths], inspected
        except OSError as err:
            raise _changed() from err

    def _digest(self, on_progress: Callable[[float], None]) -> tuple[bytes, int]:
        stamps = [FileStamp.of(part) for part in self._parts]
        if stamps != self._stamps:
            raise _changed()
        size = sum(stamp.size_bytes for stamp in stamps)
        if self._known is not None and self._known[0] == stamps:
            return self._known[1], size
        digest = self._cache.find(self.path, stamps) if self._cache else None
        if digest is None:
            digest = self._hash(size, on_progress)
            if [FileStamp.of(part) for part in self._parts] != stamps:
                raise _changed()
            if self._cache:
                self._cache.keep(self.path, stamps, digest)
        self._known = (stamps, digest)
        return digest, size

    def _hash(self, size: int, on_progress: Callable[[float], None]) -> bytes:
        hashed, done, told = hashlib.sha256(), 0, 0
        trio.from_thread.run_sync(on_progress, 0.0)
        for part in self._parts:
            with part.open("rb", buffering=0) as file:
                while chunk := file.read(_CHUNK):
                    trio.from_thread.check_cancelled()
                    hashed.update(chunk)
                    done += len(chunk)
                    if done - told >= _TOLD_EVERY:
                        told = done
                        trio.from_thread.run_sync(on_progress, min(done / size, 1.0))
        trio.from_thread.run_sync(on_progress, 1.0)
        return hashed.digest()


def _changed() -> ModelLoadFailed:
    return ModelLoadFailed("The model file changed while it was read.", remedy="Load it again.")
