"""What many tasks say in one round leaves in one message, whole and in order; nobody's cancel tears a frame."""

import struct

import pytest
import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_DATA, TYPE_PING
from trio.testing import wait_all_tasks_blocked

from peernode.mesh.hardening.yamux_outbox import ROOM_BYTES, Outbox, write_now
from tests.mesh.hardening.test_yamux_riding import about, listen_in, other_end

SINK = "/peernode/test-sink/1"
UNKNOWN = 0x7FFFFFFE


def data_frame(body, stream_id=UNKNOWN):
    return struct.pack("!BBHII", 0, TYPE_DATA, 0, stream_id, len(body)) + body


async def test_one_round_is_one_message(start_host, dial):
    with trio.fail_after(60):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            await connection._ping_event.wait()
            said = listen_in(connection)
            async with trio.open_nursery() as nursery:
                for number in range(8):
                    nursery.start_soon(connection._write_frame, data_frame(bytes([number])))
            await connection._write_frame(struct.pack("!BBHII", 0, TYPE_PING, FLAG_SYN, 0, 99))
            assert about(said, UNKNOWN) == [[(TYPE_DATA, 0, UNKNOWN)] * 8]


async def test_who_sends_data_goes_on_and_who_asks_waits_until_it_has_left(start_host, dial):
    with trio.fail_after(60):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            await connection._ping_event.wait()
            said = listen_in(connection)
            await connection._write_frame(data_frame(b"x"))
            assert not about(said, UNKNOWN)
            await connection._write_frame(struct.pack("!BBHII", 0, TYPE_PING, FLAG_SYN, 0, 99))
            assert about(said, UNKNOWN) == [[(TYPE_DATA, 0, UNKNOWN)]]


async def test_what_waits_is_bounded_and_a_cancel_tears_nothing(start_host, dial, echoes):
    with trio.fail_after(60):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            await connection._ping_event.wait()
            put = 0

            async def fill():
                nonlocal put
                while True:
                    await connection._write_frame(data_frame(bytes(1000)))
                    put += 1

            async with connection._write_lock, trio.open_nursery() as nursery:  # as if the socket took nothing
                nursery.start_soon(fill)
                await wait_all_tasks_blocked()
                assert ROOM_BYTES <= put * 1012 <= 2 * ROOM_BYTES + 2024
                nursery.cancel_scope.cancel()
            assert await echoes(client, server)


async def test_what_was_put_in_before_a_cancel_still_leaves(start_host, dial):
    with trio.fail_after(60):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            await connection._ping_event.wait()
            said = listen_in(connection)
            async with trio.open_nursery() as nursery:
                outbox = Outbox(connection)
                nursery.start_soon(outbox.run)
                await wait_all_tasks_blocked()
                left = outbox.put(data_frame(b"adieu"))
                nursery.cancel_scope.cancel()
            assert left.is_set()
            assert about(said, UNKNOWN) == [[(TYPE_DATA, 0, UNKNOWN)]]


async def test_a_broken_connection_is_told_to_who_writes_next(start_host, dial, monkeypatch):
    with trio.fail_after(60):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)

            async def broken(data):
                raise OSError("cable cut")

            connection.secured_conn.write = broken
            await connection._write_frame(data_frame(b"x"))
            with pytest.raises(ConnectionClosedError, match="cable cut"):
                while True:
                    await connection._write_frame(data_frame(b"x"))
                    await trio.lowlevel.checkpoint()


async def test_writing_at_once_is_refused_wherever_it_could_not_be_whole(start_host, dial, open_stream):
    received = bytearray()

    async def sink(stream):
        while True:
            received.extend(await stream.read(65536))

    with trio.fail_after(60):
        async with start_host({SINK: sink}) as server, start_host() as client:
            await dial(client, server)
            stream = await open_stream(client, server, SINK)
            there = other_end(server, client)
            assert write_now(stream, b"now")
            while bytes(received) != b"now":
                await trio.sleep(0.001)
            muxed = stream.muxed_stream
            assert not write_now(stream, b"")
            assert not write_now(stream, bytes(65536))  # more than a frame
            window, muxed.send_window = muxed.send_window, 2
            assert not write_now(stream, b"now")
            muxed.send_window = window
            await stream.close_write()
            assert not write_now(stream, b"now")
            assert not write_now(None, b"now")
            await stream.reset()
            assert bytes(received) == b"now"
            assert not there.is_closed
