"""What a peer can make this node hold is bounded, whatever it pushes."""

import contextlib
import struct

import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_DATA, TYPE_WINDOW_UPDATE

SLEEPY = "/peernode/test-sleepy/1"


async def _push_until_closed(connection, frames):
    with trio.fail_after(8):
        with contextlib.suppress(ConnectionClosedError):
            for frame in frames:
                if connection.event_shutting_down.is_set():
                    break
                await connection._write_frame(frame)
                await trio.sleep(0)
        await connection.event_closed.wait()


async def test_a_peer_that_ignores_its_window_is_cut_off(start_host, dial, open_stream, accepted):
    async def sleepy(stream):
        await trio.sleep_forever()

    async with start_host({SLEEPY: sleepy}) as server, start_host() as attacker:
        connection = await dial(attacker, server)
        stream = await open_stream(attacker, server, SLEEPY)
        victim = await accepted(server, attacker)
        most = 0

        async def watch():
            nonlocal most
            while True:
                most = max(most, sum(map(len, victim.stream_buffers.values())))
                await trio.sleep(0.001)

        frame = struct.pack("!BBHII", 0, TYPE_DATA, 0, stream.muxed_stream.stream_id, 60_000) + bytes(60_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await _push_until_closed(connection, [frame] * 100)
            nursery.cancel_scope.cancel()
        assert most <= 256 * 1024


async def test_a_peer_that_opens_streams_without_end_is_cut_off(start_host, dial):
    async with start_host() as server, start_host() as attacker:
        connection = await dial(attacker, server)
        frames = [struct.pack("!BBHII", 0, TYPE_WINDOW_UPDATE, FLAG_SYN, 10_001 + 2 * n, 0) for n in range(600)]
        await _push_until_closed(connection, frames)
