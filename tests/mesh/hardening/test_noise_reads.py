"""Encrypted messages come whole however they are cut, with one read of the socket for all that came together."""

import random

import pytest
import trio
from libp2p.io.exceptions import IncompleteReadError
from libp2p.security.noise.io import NoiseTransportReadWriter


class Plain:
    """A cipher that changes nothing."""

    def decrypt(self, data):
        return data


class Raw:
    """Gives ``pieces`` one by one; counts how often it was asked."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)
        self.asked = 0

    async def read(self, n):
        await trio.lowlevel.checkpoint()
        self.asked += 1
        piece = self.pieces.pop(0) if self.pieces else b""
        if len(piece) > n:
            self.pieces.insert(0, piece[n:])
        return piece[:n]


def reader(raw):
    return NoiseTransportReadWriter(raw, Plain())


def message(body):
    return len(body).to_bytes(2, "big") + body


async def test_what_came_together_is_one_read(start_host):
    raw = Raw(message(b"one") + message(b"") + message(b"three"))
    source = reader(raw)
    assert [await source.read_msg() for _ in range(3)] == [b"one", b"", b"three"]
    assert raw.asked == 1


async def test_every_cut_gives_the_same_messages(start_host):
    rng = random.Random(3)
    bodies = [rng.randbytes(rng.choice((0, 1, 2, 300, 65535))) for _ in range(60)]
    wire = b"".join(map(message, bodies))
    pieces = []
    while wire:
        size = rng.choice((1, 2, 3, 1000, 40_000))
        pieces.append(wire[:size])
        wire = wire[size:]
    source = reader(Raw(*pieces))
    assert [await source.read_msg() for _ in bodies] == bodies


@pytest.mark.parametrize(("piece", "clean"), [(b"", True), (b"\0", False), (b"\0\5abc", False)])
async def test_the_end_is_clean_only_between_messages(start_host, piece, clean):
    source = reader(Raw(message(b"whole") + piece))
    assert await source.read_msg() == b"whole"
    with pytest.raises(IncompleteReadError) as ended:
        await source.read_msg()
    assert ended.value.is_clean_close is clean


async def test_a_cancelled_read_loses_nothing(start_host):
    source = reader(Raw(b"\0\5ab", b"cde"))
    with trio.CancelScope() as scope:
        scope.cancel()
        await source.read_msg()
    assert await source.read_msg() == b"abcde"
