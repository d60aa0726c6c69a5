"""What a peer can make this node hold is bounded, whatever it pushes."""

import contextlib
import struct

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_DATA, TYPE_WINDOW_UPDATE

from peernode.mesh.hardening import yamux_buffers
from peernode.mesh.hardening.peer_gate import guard_of
from peernode.mesh.settings import MeshSettings

SLEEPY = "/peernode/test-sleepy/1"


class Most(trio.abc.Instrument):
    """The most bytes that a connection held for its readers, looked at after every step of every task."""

    def __init__(self, connection):
        self._connection = connection
        self.held = 0

    def after_task_step(self, task):
        self.held = max(self.held, sum(map(len, self._connection.stream_buffers.values())))


async def _push_until_closed(connection, frames):
    with trio.fail_after(60):
        with contextlib.suppress(ConnectionClosedError):
            for frame in frames:
                if connection.event_shutting_down.is_set():
                    break
                await connection._write_frame(frame)
                await trio.lowlevel.checkpoint()
        await connection.event_closed.wait()


async def test_a_peer_that_ignores_its_window_is_cut_off(start_host, dial, open_stream, accepted):
    async def sleepy(stream):
        await trio.sleep_forever()

    async with start_host({SLEEPY: sleepy}) as server, start_host() as attacker:
        connection = await dial(attacker, server)
        stream = await open_stream(attacker, server, SLEEPY)
        most = Most(await accepted(server, attacker))
        frame = struct.pack("!BBHII", 0, TYPE_DATA, 0, stream.muxed_stream.stream_id, 60_000) + bytes(60_000)
        trio.lowlevel.add_instrument(most)
        await _push_until_closed(connection, [frame] * 100)
        trio.lowlevel.remove_instrument(most)
        assert 0 < most.held <= 256 * 1024


async def test_a_peer_that_opens_streams_without_end_is_cut_off(start_host, dial):
    async with start_host(settings=MeshSettings(max_streams_per_peer=10_000)) as server, start_host() as attacker:
        connection = await dial(attacker, server)
        frames = [struct.pack("!BBHII", 0, TYPE_WINDOW_UPDATE, FLAG_SYN, 10_001 + 2 * n, 0) for n in range(600)]
        await _push_until_closed(connection, frames)
        assert guard_of(server.get_network()).refusals["streams"] == 1


async def test_a_connection_that_holds_more_than_its_share_of_all_is_cut_off(
    start_host, dial, open_stream, monkeypatch
):
    monkeypatch.setattr(yamux_buffers, "TOTAL_BYTES", 3 << 20)

    async def sleepy(stream):
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with start_host({SLEEPY: sleepy}) as server, start_host() as greedy, start_host() as modest:
            guard = guard_of(server.get_network())
            little, much = await dial(modest, server), await dial(greedy, server)
            kept = await open_stream(modest, server, SLEEPY)
            await kept.write(bytes(200_000))
            with contextlib.suppress(BaseLibp2pError):
                for _ in range(20):
                    stream = await open_stream(greedy, server, SLEEPY)
                    await stream.write(bytes(250_000))
            await much.event_closed.wait()
            assert guard.refusals["total"] == 1
            assert not little.is_closed
