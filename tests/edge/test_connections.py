"""What the socket takes is written at once; what it does not take is written whole, in order, and without a tear."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import RawData
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from peernode.edge.connections import YIELD_EVERY, _Connection

LARGE = 4_000_000


async def app(scope, receive, send):
    raise AssertionError("never called")


class Ears:
    """Stands in for the protocol, and keeps what it is told."""

    def __init__(self):
        self.told = []

    async def handle(self, event):
        self.told.append(type(event).__name__)


@pytest.fixture
async def connection():
    """A connection whose protocol only listens, and the client's end of its socket."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.testing.open_stream_to_socket_listener(listeners[0])
    server = await listeners[0].accept()
    made = _Connection(ASGIWrapper(app), Config(), WorkerContext(None), ConnectionState({}), server)
    made.protocol = Ears()
    async with server, client, listeners[0]:
        yield made, client


async def read(client, size):
    received = bytearray()
    while len(received) < size:
        received += await client.receive_some()
    return bytes(received)


async def test_small_pieces_hardly_ever_give_way(connection):
    made, client = connection
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await trio.lowlevel.checkpoint()
        before = turns
        for _ in range(4 * YIELD_EVERY):
            await made.protocol_send(RawData(b"token"))
        assert 1 <= turns - before <= 4 * 4  # never: the others starve; Hypercorn: more than two a piece
        nursery.cancel_scope.cancel()
    with trio.fail_after(10):
        assert await read(client, 5 * 4 * YIELD_EVERY) == b"token" * 4 * YIELD_EVERY


async def test_what_does_not_fit_is_whole_and_in_order_even_when_its_writer_is_cancelled(connection):
    made, client = connection
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:

            async def write_and_be_cancelled():
                with trio.CancelScope() as scope:
                    nursery.start_soon(cancel_soon, scope)
                    await made.protocol_send(RawData(b"a" * LARGE))

            async def cancel_soon(scope):
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()

            nursery.start_soon(write_and_be_cancelled)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(made.protocol_send, RawData(b"b" * 10))
            await trio.testing.wait_all_tasks_blocked()
            assert await read(client, LARGE + 10) == b"a" * LARGE + b"b" * 10


async def test_a_client_that_is_gone_is_told_of_as_hypercorn_does(connection):
    made, client = connection
    await client.aclose()
    with trio.fail_after(60):
        while not made.protocol.told:
            await made.protocol_send(RawData(b"x" * LARGE))
    assert set(made.protocol.told) == {"Closed"}


async def test_who_writes_while_it_is_being_closed_hears_that_it_is(connection):
    made, _client = connection
    with trio.fail_after(60), made.stream._send_conflict_detector:  # as send_eof does for a moment
        await made.protocol_send(RawData(b"x" * LARGE))
    assert set(made.protocol.told) == {"Closed"}
