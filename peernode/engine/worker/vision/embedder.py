"""Pictures to embeddings, each content once: a bounded cache in front of the projector.

Owns the rule that one picture is encoded at a time. Whoever comes with a picture that is just being encoded waits for
that and encodes nothing; whoever comes with a cached one waits for nobody.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np

from peernode.chat.errors import ProviderBusy
from peernode.engine.worker.sequence import TokenArray
from peernode.engine.worker.vision.picture import Pixels
from peernode.engine.worker.vision.projector import Piece
from peernode.engine.worker.vision.spans import ImageRun, placeholder_ids

# One picture in a prompt: markers as tokens, and runs of embeddings.
Embedded: TypeAlias = tuple[TokenArray | ImageRun, ...]
Within: TypeAlias = Callable[[int], None]
# Sequences hold their embeddings until they end, for they may have to be computed again.
MOST_HELD_BYTES = 1 << 30


class Encoder(Protocol):
    """What the cache needs of ``Projector``."""

    def encode(self, pixels: Pixels, *, within: Within) -> list[Piece]: ...


class Embedder:
    """``embed`` may be called by several threads. At most ``cache_bytes`` of embeddings are kept, the latest used.

    At most ``held_bytes`` exist at once, kept here or held by sequences that wait or run.
    """

    def __init__(self, encoder: Encoder, *, cache_bytes: int, held_bytes: int = MOST_HELD_BYTES) -> None:
        self._encoder = encoder
        self._cache_bytes = cache_bytes
        self._most_held_bytes = held_bytes
        self._held_bytes = 0
        self._released: deque[int] = deque()  # filled whenever the last holder lets go, in whatever thread
        self._kept: OrderedDict[bytes, Embedded] = OrderedDict()
        self._kept_bytes = 0
        self._looking = threading.Lock()
        self._encoding = threading.Lock()

    @property
    def kept_bytes(self) -> int:
        return self._kept_bytes

    @property
    def held_bytes(self) -> int:
        while self._released:
            self._held_bytes -= self._released.popleft()
        return self._held_bytes

    def embed(self, pixels: Pixels, *, within: Within) -> Embedded:
        """``within`` is told how many cells the picture takes before anything is computed; what it raises goes through.

        Raises ProviderFailed and ProviderBusy.
        """
        key = _key(pixels)
        found = self._find(key)
        if found is None:
            with self._encoding:
                found = self._find(key)  # it may have come while we waited
                if found is None:
                    found = self._encode(pixels, key, within)
                    self._keep(key, found)
                    return found
        within(cells_of(found))
        return found

    def _encode(self, pixels: Pixels, key: bytes, within: Within) -> Embedded:
        if self.held_bytes >= self._most_held_bytes:
            raise ProviderBusy("Too many images wait here.", remedy="Try again later.")
        pieces = self._encoder.encode(pixels, within=within)
        found = tuple(
            piece if isinstance(piece, np.ndarray) else _run(piece, key, at) for at, piece in enumerate(pieces)
        )
        for piece in found:
            if isinstance(piece, ImageRun):
                self._held_bytes += piece.embeddings.nbytes
                weakref.finalize(piece, self._released.append, piece.embeddings.nbytes).atexit = False
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
