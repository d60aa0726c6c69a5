"""A model's files: validated headers, and their identity, a SHA-256 computed off the event loop and kept while the
files stay the same.

Owns the order of things: headers first, for nothing else may look at a file whose header lies; then the digest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from peernode.engine.digest_cache import DigestCache
from peernode.engine.errors import ModelLoadFailed
from peernode.engine.gguf_model import ModelHeader
from peernode.engine.hashed_files import HashedFiles
from peernode.engine.lora import LoraAdapter, adapted_digest, inspect_adapter
from peernode.engine.model_parts import inspect_model


@dataclass(frozen=True, slots=True)
class _Inspected:
    header: ModelHeader
    files: tuple[HashedFiles, ...]  # the model's, then one for each adapter
    adapter_bytes: int


class ModelFile:
    """``inspect`` first. The digest of a split model is over all its parts in order, as if they were one file; that of
    an adapted one is ``lora.adapted_digest``.
    """

    def __init__(self, path: Path, cache: DigestCache | None = None, *, adapters: Sequence[LoraAdapter] = ()) -> None:
        self.path = path
        self.adapters = tuple(adapters)
        self._cache = cache
        self._inspected: _Inspected | None = None

    @property
    def adapter_bytes(self) -> int:
        """What the adapters' tensors take; 0 before ``inspect``."""
        return self._inspected.adapter_bytes if self._inspected else 0

    async def inspect(self) -> ModelHeader:
        """Validate all headers. Raises ModelLoadFailed."""
        self._inspected = await trio.to_thread.run_sync(self._inspect)
        return self._inspected.header

    async def digest(self, on_progress: Callable[[float], None] = lambda _: None) -> tuple[bytes, int]:
        """SHA-256 and size in bytes, adapters included. ``on_progress`` gets fractions, from 0 to 1.

        Raises ModelLoadFailed when a file cannot be read or is not what was inspected.
        """
        if self._inspected is None:
            raise RuntimeError("a model's headers are validated before it is hashed")
        try:
            return await trio.to_thread.run_sync(self._digest, self._inspected.files, on_progress)
        except OSError as err:
            raise _unreadable(err) from err

    def _inspect(self) -> _Inspected:
        found = inspect_model(self.path)
        adapter_bytes = sum(
            inspect_adapter(adapter.path, found.header.architecture, found.shapes) for adapter in self.adapters
        )
        sets = [(self.path, found.paths), *((adapter.path, (adapter.path,)) for adapter in self.adapters)]
        try:
            files = self._inspected.files if self._inspected else ()
            now = tuple(HashedFiles(name, parts, self._cache) for name, parts in sets)
        except OSError as err:
            raise _unreadable(err) from err
        # What is known of files that have not changed stays known.
        kept = tuple(old if old == new else new for old, new in zip(files, now, strict=True)) if files else now
        return _Inspected(found.header, kept, adapter_bytes)

    def _digest(self, files: tuple[HashedFiles, ...], on_progress: Callable[[float], None]) -> tuple[bytes, int]:
        total = sum(each.size_bytes for each in files)
        done, digests = 0, []
        for each in files:
            digests.append(each.digest(_Share(on_progress, done, total)))
            done += each.size_bytes
        scales = [adapter.scale for adapter in self.adapters]
        return adapted_digest(digests[0], zip(digests[1:], scales, strict=True)), total


@dataclass(frozen=True, slots=True)
class _Share:
    """Makes a fraction of the whole of one file's bytes; called in a thread."""

    on_progress: Callable[[float], None]
    before: int
    total: int

    def __call__(self, done: int) -> None:
        trio.from_thread.run_sync(self.on_progress, min((self.before + done) / self.total, 1.0))


def _unreadable(err: OSError) -> ModelLoadFailed:
    return ModelLoadFailed(
        "The model file cannot be read.",
        cause=err.strerror or type(err).__name__,
        remedy="Check the path and its permissions.",
    )
