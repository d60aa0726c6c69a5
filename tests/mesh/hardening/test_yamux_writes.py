"""Writes can be cancelled, end in time, and wait for a reader that pauses."""

import struct

import pytest
import trio
from libp2p.stream_muxer.exceptions import MuxedStreamError
from trio.testing import wait_all_tasks_blocked

PAUSED = "/peernode/test-paused/1"
FILLER = struct.pack("!BBHII", 0, 0, 0, 0x7FFFFFFE, 60_000) + bytes(60_000)  # DATA for a stream that does not exist


class Tap:
    """Stops a connection from reading its socket, as a frozen process would."""

    def __init__(self, connection):
        self._read = connection.secured_conn.read
        self._open = trio.Event()
        connection.secured_conn.read = self.read

    async def read(self, n=None):
        await self._open.wait()
        return await self._read(n)

    def open(self):
        self._open.set()


async def _fill(connection):
    while True:
        await connection._write_frame(FILLER)


async def test_a_socket_that_takes_nothing_is_closed_at_the_deadline(start_host, dial, accepted, monkeypatch):
    async with start_host() as server, start_host() as client:
        connection = await dial(client, server)
        tap = Tap(await accepted(server, client))
        monkeypatch.setattr("peernode.mesh.hardening.yamux_writes.WRITE_DEADLINE_S", 0.5)
        with trio.fail_after(60), pytest.raises(MuxedStreamError, match="deadline"):
            await _fill(connection)
        with trio.fail_after(60):
            await connection.event_closed.wait()
        tap.open()


async def test_a_cancelled_write_leaves_the_connection_whole(start_host, dial, accepted, echoes):
    async with start_host() as server, start_host() as client:
        connection = await dial(client, server)
        tap = Tap(await accepted(server, client))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_fill, connection)
            await wait_all_tasks_blocked(cushion=0.05)  # the socket takes no more
            nursery.cancel_scope.cancel()
            tap.open()
        with trio.fail_after(60):
            assert await echoes(client, server)
        assert not connection.is_closed


@pytest.mark.real
async def test_a_reader_may_pause_longer_than_five_seconds(start_host, dial, open_stream):
    received = 0
    done = trio.Event()

    async def paused(stream):
        nonlocal received
        await trio.sleep(5.5)  # unmended, a writer without window gives up after five seconds
        while received < 600_000:
            received += len(await stream.read(65536))
        done.set()

    with trio.fail_after(60):
        async with start_host({PAUSED: paused}) as server, start_host() as client:
            await dial(client, server)
            stream = await open_stream(client, server, PAUSED)
            await stream.write(bytes(600_000))
            await done.wait()
