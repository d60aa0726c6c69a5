"""Peers that are not welcome are refused on every path, as soon as they have proven who they are."""

from functools import partial

import pytest
import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from peernode.mesh.dialing import ConnectionWatch
from peernode.mesh.hardening.peer_gate import guard_of
from peernode.mesh.settings import MeshSettings
from peernode.wire.identity import Identity

SEEDS = {name: bytes([number]) * 32 for number, name in enumerate("abc", start=1)}
IDS = {name: Identity.from_seed(seed).peer_id for name, seed in SEEDS.items()}


async def test_only_listed_peers_get_in_and_others_get_nothing(start_host, echoes):
    listed = MeshSettings(allow_peers=frozenset((IDS["a"], IDS["b"])))
    with trio.fail_after(60):
        async with (
            start_host(settings=listed, seed=SEEDS["a"]) as server,
            start_host(settings=listed, seed=SEEDS["b"]) as member,
            start_host(seed=SEEDS["c"]) as outsider,
        ):
            assert await echoes(member, server)
            with pytest.raises(BaseLibp2pError):
                await echoes(outsider, server)
            assert ID.from_string(IDS["c"]) not in server.get_network().connections
            assert guard_of(server.get_network()).refusals["not in the list of allowed peers"] >= 1


async def test_a_peer_outside_the_list_is_not_even_dialled(start_host):
    listed = MeshSettings(allow_peers=frozenset((IDS["b"],)))
    accepted = 0

    async def count(stream):
        nonlocal accepted
        accepted += 1
        await stream.aclose()

    with trio.fail_after(60):
        async with start_host(settings=listed, seed=SEEDS["b"]) as member, trio.open_nursery() as nursery:
            (listener,) = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), count, 0)
            port = listener.socket.getsockname()[1]
            with pytest.raises(SwarmException):
                await member.connect(info_from_p2p_addr(Multiaddr(f"/ip4/127.0.0.1/tcp/{port}/p2p/{IDS['c']}")))
            async with await trio.open_tcp_stream("127.0.0.1", port) as probe:
                assert await probe.receive_some(1) == b""  # all that came before has been accepted too
            nursery.cancel_scope.cancel()
    assert accepted == 1


async def test_a_ban_closes_the_connection_and_keeps_the_peer_out(start_host, dial, echoes):
    with trio.fail_after(60):
        async with start_host() as server, start_host() as peer:
            guard = guard_of(server.get_network())
            connection = await dial(peer, server)
            assert await echoes(peer, server)
            guard.bans.report(str(peer.get_id()), "forged adverts", 1.0)
            await connection.event_closed.wait()
            await ConnectionWatch(peer).wait_until(lambda: not peer.get_network().connections)
            with pytest.raises(BaseLibp2pError):
                await echoes(peer, server)
            assert guard.refusals["banned"] >= 1
