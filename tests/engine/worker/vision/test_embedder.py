"""The cache before the projector: each content is encoded once, one at a time, and what is kept is bounded."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from peernode.chat.errors import BadRequest, ProviderBusy
from peernode.engine.worker.vision.embedder import Embedder, cells_of
from peernode.engine.worker.vision.projector import EncodedRun
from peernode.engine.worker.vision.spans import ImageRun

CELLS, WIDTH = 4, 8
SIZE = CELLS * WIDTH * 4


class CountingEncoder:
    """Encodes a picture as its mean; ``gate`` holds encodings back."""

    def __init__(self) -> None:
        self.encoded = self.inside = self.most_inside = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def encode(self, pixels, *, within):
        within(CELLS)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.entered.set()
        assert self.gate.wait(10)
        self.encoded += 1
        self.inside -= 1
        return [
            np.array([7], np.int32),
            EncodedRun(np.full((CELLS, WIDTH), pixels.mean(), np.float32), CELLS, True, None),
        ]


def plain(value: int, shape: tuple[int, int] = (3, 2)) -> np.ndarray:
    return np.full((*shape, 3), value, np.uint8)


def allow(_cells: int) -> None:
    return


def run_of(embedded) -> ImageRun:
    (found,) = [piece for piece in embedded if isinstance(piece, ImageRun)]
    return found


def test_the_same_picture_is_encoded_once_and_another_one_apart():
    encoder = CountingEncoder()
    embedder = Embedder(encoder, cache_bytes=1 << 20)
    first, again, other = (embedder.embed(plain(value), within=allow) for value in (1, 1, 2))
    assert again is first
    assert encoder.encoded == 2
    assert cells_of(first) == CELLS
    assert not (run_of(first).ids == run_of(other).ids).any()


def test_the_same_bytes_in_another_shape_are_another_picture():
    encoder = CountingEncoder()
    embedder = Embedder(encoder, cache_bytes=1 << 20)
    assert not (
        run_of(embedder.embed(plain(1), within=allow)).ids == run_of(embedder.embed(plain(1, (2, 3)), within=allow)).ids
    ).any()


def test_what_was_used_last_is_kept():
    encoder = CountingEncoder()
    embedder = Embedder(encoder, cache_bytes=2 * (SIZE + 4))
    for value in (1, 2, 1, 3):
        embedder.embed(plain(value), within=allow)
    assert embedder.kept_bytes == 2 * (SIZE + 4)
    embedder.embed(plain(1), within=allow)
    assert encoder.encoded == 3
    embedder.embed(plain(2), within=allow)
    assert encoder.encoded == 4


def test_what_is_larger_than_the_cache_is_not_kept():
    embedder = Embedder(CountingEncoder(), cache_bytes=SIZE - 1)
    assert cells_of(embedder.embed(plain(1), within=allow)) == CELLS
    assert embedder.kept_bytes == 0


@pytest.mark.parametrize("known", [False, True])
def test_a_picture_that_is_too_much_is_refused_before_it_is_encoded(known):
    encoder = CountingEncoder()
    embedder = Embedder(encoder, cache_bytes=1 << 20)
    if known:
        embedder.embed(plain(1), within=allow)

    def refuse(cells: int) -> None:
        raise BadRequest(f"{cells} cells")

    with pytest.raises(BadRequest, match="4 cells"):
        embedder.embed(plain(1), within=refuse)
    assert encoder.encoded == known


def test_many_who_come_with_one_picture_wait_for_one_encoding():
    encoder = CountingEncoder()
    encoder.gate.clear()
    embedder = Embedder(encoder, cache_bytes=1 << 20)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(embedder.embed, plain(value % 2), within=allow) for value in range(8)]
        assert encoder.entered.wait(10)
        encoder.gate.set()
        found = [one.result(10) for one in asked]
    assert encoder.encoded == 2
    assert encoder.most_inside == 1
    assert all(one is found[at % 2] for at, one in enumerate(found))


def test_a_cached_picture_does_not_wait_for_an_encoding():
    encoder = CountingEncoder()
    embedder = Embedder(encoder, cache_bytes=1 << 20)
    known = embedder.embed(plain(1), within=allow)
    encoder.entered.clear()
    encoder.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(embedder.embed, plain(2), within=allow)
        assert encoder.entered.wait(10)
        assert embedder.embed(plain(1), within=allow) is known
        assert not slow.done()
        encoder.gate.set()
        slow.result(10)


def test_what_is_held_by_sequences_is_bounded_until_they_let_go():
    embedder = Embedder(CountingEncoder(), cache_bytes=0, held_bytes=2 * SIZE)
    held = [embedder.embed(plain(value), within=allow) for value in (1, 2)]
    assert embedder.held_bytes == 2 * SIZE
    with pytest.raises(ProviderBusy):
        embedder.embed(plain(3), within=allow)
    held.pop()
    gc.collect()
    assert embedder.held_bytes == SIZE
    embedder.embed(plain(3), within=allow)
