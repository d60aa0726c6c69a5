"""Frames of data and credit are taken as they come, however they are cut; all others go the library's way."""

import random
import struct

import trio
from libp2p.network.stream.exceptions import StreamReset
from libp2p.stream_muxer.yamux import yamux

from tests.mesh.hardening.test_yamux_riding import other_end

SINK = "/peernode/test-sink/1"


def frame(kind, flags, stream_id, length, body=b""):
    return struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, kind, flags, stream_id, length) + body


async def test_plain_frames_do_not_reach_the_library(start_host, dial, open_stream, monkeypatch):
    bodies = []
    read = yamux.Yamux._read_data_body

    async def noting(self, length):
        bodies.append(length)
        return await read(self, length)

    received = bytearray()
    done = trio.Event()

    async def sink(stream):
        while len(received) < 200:
            received.extend(await stream.read(65536))
        done.set()

    with trio.fail_after(60):
        async with start_host({SINK: sink}) as server, start_host() as client:
            connection = await dial(client, server)
            stream = await open_stream(client, server, SINK)
            await connection._ping_event.wait()
            monkeypatch.setattr(yamux.Yamux, "_read_data_body", noting)
            number = stream.muxed_stream.stream_id
            there = other_end(server, client)
            before = there.streams[number].send_window
            plain = b"".join(frame(yamux.TYPE_DATA, 0, number, 10, bytes(10)) for _ in range(20))
            await connection._write_frame(frame(yamux.TYPE_WINDOW_UPDATE, 0, number, 1000) + plain)
            await done.wait()
            assert received == bytes(200)
            assert there.streams[number].send_window == before + 1000
            assert bodies == []
            await stream.reset()


async def test_every_cut_gives_the_same_bytes(start_host, dial, open_stream):
    rng = random.Random(5)
    received = bytearray()
    more = trio.Event()

    async def sink(stream):
        while True:
            received.extend(await stream.read(65536))
            more.set()

    with trio.fail_after(60):
        async with start_host({SINK: sink}) as server, start_host() as client:
            connection = await dial(client, server)
            stream = await open_stream(client, server, SINK)
            await connection._ping_event.wait()
            number = stream.muxed_stream.stream_id
            sent, wire = bytearray(), bytearray()
            for _ in range(120):
                body = rng.randbytes(rng.choice((0, 1, 11, 12, 13, 500)))
                sent += body
                wire += frame(yamux.TYPE_DATA, 0, number, len(body), body)
                wire += frame(yamux.TYPE_WINDOW_UPDATE, 0, number, 1)
                if rng.random() < 0.3:
                    wire += frame(yamux.TYPE_DATA, 0, 0x7FFFFFFE, 12, bytes(12))  # nobody's
                if rng.random() < 0.3:
                    wire += frame(yamux.TYPE_PING, yamux.FLAG_ACK, 0, 77)
                if rng.random() < 0.3:
                    wire += frame(yamux.TYPE_DATA, yamux.FLAG_ACK, number, 12, b"acknowledged")
                    sent += b"acknowledged"
            async with connection._write_lock:  # nobody else's frame comes between the pieces of these
                while wire:
                    size = rng.choice((1, 3, 12, 13, 100, 1000))
                    await connection.secured_conn.write(bytes(wire[:size]))
                    del wire[:size]
            while len(received) < len(sent):
                more = trio.Event()
                await more.wait()
            assert received == sent
            await stream.reset()


async def test_data_and_end_and_reset_keep_their_order(start_host, dial, open_stream):
    heard = []
    done = trio.Event()

    async def sink(stream):
        try:
            while True:
                heard.append(await stream.read(65536))
        except StreamReset as error:
            heard.append(type(error).__name__)
        done.set()

    with trio.fail_after(60):
        async with start_host({SINK: sink}) as server, start_host() as client:
            connection = await dial(client, server)
            stream = await open_stream(client, server, SINK)
            number = stream.muxed_stream.stream_id
            await connection.secured_conn.write(
                frame(yamux.TYPE_DATA, 0, number, 4, b"last")
                + frame(yamux.TYPE_WINDOW_UPDATE, yamux.FLAG_RST, number, 0)
            )
            await done.wait()
            assert b"".join(each for each in heard if isinstance(each, bytes)) == b"last"
            assert heard[-1] == "StreamReset"


async def test_a_flood_of_plain_frames_lets_others_have_their_turn(start_host, dial, echoes):
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    with trio.fail_after(60):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            await connection._ping_event.wait()
            inbox = other_end(server, client).secured_conn._inbox
            inbox._received += frame(yamux.TYPE_WINDOW_UPDATE, 0, 1, 0) * 960
            async with trio.open_nursery() as nursery:
                nursery.start_soon(other)
                await trio.lowlevel.checkpoint()
                assert await echoes(client, server)  # its frames come behind those
                nursery.cancel_scope.cancel()
            assert turns >= 960 / 32
