"""Pictures to embeddings, each content once: a bounded cache in front of the projector.

Owns the rule that one picture is encoded at a time. Whoever comes with a picture that is just being encoded waits for
that and encodes nothing; whoever comes with a cached one waits for nobody.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np

from peernode.engine.worker.sequence import TokenArray
from peernode.engine.worker.vision.picture import Pixels
from peernode.engine.worker.vision.projector import Piece
from peernode.engine.worker.vision.spans import ImageRun, placeholder_ids

# One picture in a prompt: markers as tokens, and runs of embeddings.
Embedded: TypeAlias = tuple[TokenArray | ImageRun, ...]
Within: TypeAlias = Callable[[int], None]


class Encoder(Protocol):
    """What the cache needs of ``Projector``."""

    def encode(self, pixels: Pixels, *, within: Within) -> list[Piece]: ...


class Embedder:
    """``embed`` may be called by several threads. At most ``cache_bytes`` of embeddings are kept, the latest used."""

    def __init__(self, encoder: Encoder, *, cache_bytes: int) -> None:
        self._encoder = encoder
        self._cache_bytes = cache_bytes
        self._kept: OrderedDict[bytes, Embedded] = OrderedDict()
        self._kept_bytes = 0
        self._looking = threading.Lock()
        self._encoding = threading.Lock()

    @property
    def kept_bytes(self) -> int:
        return self._kept_bytes

    def embed(self, pixels: Pixels, *, within: Within) -> Embedded:
        """``within`` is told how many cells the picture takes before anything is computed; what it raises goes through.

        Raises ProviderFailed.
        """
        key = _key(pixels)
        found = self._find(key)
        if found is None:
            with self._encoding:
                found = self._find(key)  # it may have come while we waited
                if found is None:
                    pieces = self._encoder.encode(pixels, within=within)
                    found = tuple(
                        piece if isinstance(piece, np.ndarray) else _run(piece, key, at)
                        for at, piece in enumerate(pieces)
                    )
                    self._keep(key, found)
                    return found
        within(cells_of(found))
        return found

    def _find(self, key: bytes) -> Embedded | None:
        with self._looking:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: bytes, found: Embedded) -> None:
        size = _bytes_of(found)
        if size > self._cache_bytes:
            return
        with self._looking:
            self._kept[key] = found
            self._kept_bytes += size
            while self._kept_bytes > self._cache_bytes:
                self._kept_bytes -= _bytes_of(self._kept.popitem(last=False)[1])


def cells_of(embedded: Embedded) -> int:
    """How many cells of the model's memory a picture takes, without the markers around it."""
    return sum(piece.cells for piece in embedded if isinstance(piece, ImageRun))


def _run(piece: Piece, key: bytes, at: int) -> ImageRun:
    assert not isinstance(piece, np.ndarray)
    ids = placeholder_ids(key + at.to_bytes(4, "big"), len(piece.embeddings))
    return ImageRun(piece.embeddings, ids, piece.n_pos, piece.causal, piece.grid)


def _bytes_of(embedded: Embedded) -> int:
    return sum(piece.nbytes if isinstance(piece, np.ndarray) else piece.embeddings.nbytes for piece in embedded)


def _key(pixels: Pixels) -> bytes:
    hashed = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=32)
    hashed.update(np.ascontiguousarray(pixels).data)
    return hashed.digest()
