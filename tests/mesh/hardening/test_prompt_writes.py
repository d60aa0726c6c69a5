"""What fits into the socket is written without a yield; what does not is written whole all the same."""

import pytest
import trio
import trio.testing
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream

from peernode.mesh import hardening


@pytest.fixture
async def pair():
    """A mended stream, and the other end of its connection."""
    hardening.apply()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    near = await trio.testing.open_stream_to_socket_listener(listeners[0])
    far = await listeners[0].accept()
    async with near, far, listeners[0]:
        yield TrioTCPStream(near), far


async def test_small_writes_hardly_ever_yield(pair):
    stream, far = pair
    others_ran = 0

    async def other():
        nonlocal others_ran
        while True:
            others_ran += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await trio.lowlevel.checkpoint()
        before = others_ran
        for _ in range(64):
            await stream.write(b"frame")
        assert 1 <= others_ran - before <= 24  # never: the others starve; the library: 64 or more
        nursery.cancel_scope.cancel()
    with trio.fail_after(10):
        received = b""
        while len(received) < 64 * 5:
            received += await far.receive_some()
    assert received == b"frame" * 64


async def test_what_does_not_fit_is_written_whole_and_in_order(pair):
    stream, far = pair
    pieces = [bytes([number]) * 1_000_000 for number in range(12)]
    received = bytearray()

    async def read():
        while len(received) < sum(map(len, pieces)):
            received.extend(await far.receive_some())

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for piece in pieces[:2]:
                nursery.start_soon(stream.write, piece)  # both at once: neither tears the other apart
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(read)
            for piece in pieces[2:]:
                await stream.write(piece)
    joined = bytes(received)
    assert sorted(piece[0] for piece in pieces) == sorted(joined[at] for at in range(0, len(joined), 1_000_000))
    assert all(len(set(joined[at : at + 1_000_000])) == 1 for at in range(0, len(joined), 1_000_000))


async def test_a_broken_connection_is_told_and_a_closed_one_is_not(pair):
    stream, far = pair
    await far.aclose()
    with pytest.raises(ConnectionClosedError), trio.fail_after(10):
        while True:
            await stream.write(b"x" * 100_000)
    await stream.close()
    await stream.write(b"nobody listens")
