"""Reading ahead: fewer calls to the socket, the same bytes, and none after the end."""

from __future__ import annotations

import pytest
import trio
from libp2p.io.trio import TrioTCPStream

from peernode.mesh.hardening.read_ahead import READ_AHEAD_BYTES


class Socket:
    """Gives ``pieces`` one by one; counts how often it was asked."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)
        self.asked = []

    async def receive_some(self, most):
        await trio.lowlevel.checkpoint()
        self.asked.append(most)
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if most is not None and len(piece) > most:
            self.pieces.insert(0, piece[most:])
        return piece if most is None else piece[:most]

    async def aclose(self):
        await trio.lowlevel.checkpoint()


async def test_a_message_is_one_call_to_the_socket():
    socket = Socket(b"\0\5hello\0\3you", b"!")
    stream = TrioTCPStream(socket)
    assert [await stream.read(size) for size in (2, 5, 2, 4)] == [b"\0\5", b"hello", b"\0\3", b"you"]
    assert socket.asked == [READ_AHEAD_BYTES]
    assert [await stream.read(size) for size in (0, 9, 9)] == [b"", b"!", b""]


@pytest.mark.parametrize("size", [None, READ_AHEAD_BYTES, 100_000])
async def test_a_long_read_goes_to_the_socket_itself(size):
    socket = Socket(b"x" * 50_000)
    stream = TrioTCPStream(socket)
    await stream.read(size)
    assert socket.asked == [size]


async def test_what_was_read_ahead_comes_first_and_nothing_after_closing():
    stream = TrioTCPStream(Socket(b"abcdef", b"ghi"))
    assert await stream.read(1) == b"a"
    assert await stream.read(None) == b"bcdef"
    assert await stream.read(1) == b"g"
    await stream.close()
    assert await stream.read(9) == b""


async def test_all_bytes_arrive_over_a_real_connection(start_host, dial, open_stream):
    sent = bytes(range(256)) * 4000

    async def big(stream):
        await stream.write(sent)
        await stream.close_write()

    with trio.fail_after(60):
        async with start_host({"/big/1": big}) as server, start_host() as client:
            await dial(client, server)
            stream = await open_stream(client, server, "/big/1")
            got = bytearray()
            while len(got) < len(sent):
                got += await stream.read(1000)
            assert bytes(got) == sent
            await stream.reset()
