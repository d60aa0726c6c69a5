"""One peer cannot take all streams, or open them as fast as it likes; if it keeps trying it is banned."""

import contextlib
import struct

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.stream.exceptions import StreamError
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_WINDOW_UPDATE

from peernode.mesh.dialing import ConnectionWatch
from peernode.mesh.hardening.peer_gate import guard_of
from peernode.mesh.settings import MeshSettings

SLEEPY = "/peernode/test-sleepy/1"


async def sleepy(stream):
    with contextlib.suppress(StreamError):  # until the peer resets it
        while True:
            await stream.read(1024)


async def test_a_stream_too_many_is_reset_and_the_others_live(start_host, dial, open_stream, echoes):
    with trio.fail_after(60):
        async with (
            start_host({SLEEPY: sleepy}, settings=MeshSettings(max_streams_per_peer=8)) as server,
            start_host() as peer,
            start_host() as other,
        ):
            guard = guard_of(server.get_network())
            connection = await dial(peer, server)
            opened = []
            with contextlib.suppress(BaseLibp2pError):
                while len(opened) < 12:
                    opened += [await open_stream(peer, server, SLEEPY)]
            assert 0 < len(opened) <= 8  # identify may have one of its own at first
            assert guard.refusals["too many streams"] == 1
            assert not connection.is_closed
            assert await echoes(other, server)
            for stream in opened:
                await stream.reset()
            answered = False
            while not answered:  # streams are given back when the server has read the resets
                await trio.sleep(0.01)
                with contextlib.suppress(BaseLibp2pError):
                    answered = await echoes(peer, server)


async def test_who_keeps_opening_streams_is_banned_and_refused_for_a_while(start_host, dial, echoes):
    with trio.fail_after(60):
        async with start_host({SLEEPY: sleepy}) as server, start_host() as attacker, start_host() as good:
            guard = guard_of(server.get_network())
            connection = await dial(attacker, server)
            with contextlib.suppress(BaseLibp2pError):
                for number in range(2000):
                    header = struct.pack("!BBHII", 0, TYPE_WINDOW_UPDATE, FLAG_SYN, 10_001 + 2 * number, 0)
                    await connection._write_frame(header)
            await connection.event_closed.wait()
            await ConnectionWatch(attacker).wait_until(lambda: not attacker.get_network().connections)
            (ban,) = guard.bans.bans()
            assert ban.peer_id == str(attacker.get_id())
            assert "streams" in ban.reason
            with contextlib.suppress(BaseLibp2pError):
                assert not await echoes(attacker, server)
            assert guard.refusals["banned"] >= 1
            assert await echoes(good, server)
