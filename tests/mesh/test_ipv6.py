"""The mesh over IPv6: joining, adverts, limits per address, and dialling what an advert says."""

import contextlib
import socket

import pytest
import trio
from libp2p.exceptions import BaseLibp2pError

from peernode.mesh.dialing import ConnectionWatch
from peernode.mesh.hardening.peer_gate import guard_of
from peernode.mesh.settings import MeshSettings

ASK = "/peernode/test-ask/1"
LOOPBACK6 = "/ip6/::1/tcp/0"


def _no_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(_no_ipv6()), reason=f"no IPv6 loopback here: {_no_ipv6()}")


async def answer(stream):
    await stream.send(b"answer to " + await stream.receive(30))


async def test_nodes_join_advertise_and_dial_each_other(start_node):
    with trio.fail_after(60):
        async with (
            start_node(listen=(LOOPBACK6,)) as meeting_point,
            start_node(listen=(LOOPBACK6,), join=meeting_point.mesh.addresses(), handlers={ASK: answer}) as one,
            start_node(listen=(LOOPBACK6,), join=meeting_point.mesh.addresses()) as other,
        ):
            await one.advertise()
            await other.sees(one)
            async with other.mesh.open(one.peer_id, ASK, timeout_s=30) as stream:
                await stream.send(b"?")
                assert await stream.receive(30) == b"answer to ?"
            (status,) = [peer for peer in other.mesh.peers() if peer.peer_id == one.peer_id]
            assert status.address.startswith("/ip6/::1/tcp/")
            assert all(address.startswith("/ip6/::1/tcp/") for address in one.mesh.addresses())


async def test_a_node_of_both_families_is_reached_by_either(start_node):
    with trio.fail_after(60):
        async with start_node(listen=(LOOPBACK6, "/ip4/127.0.0.1/tcp/0"), handlers={ASK: answer}) as server:
            assert len(server.mesh.addresses()) == 2
            for address in server.mesh.addresses():
                family = "/".join(address.split("/")[:3]) + "/tcp/0"
                async with start_node(listen=(family,), join=[address]) as client:
                    async with client.mesh.open(server.peer_id, ASK, timeout_s=30) as stream:
                        await stream.send(b"?")
                        assert await stream.receive(30) == b"answer to ?"
                    assert client.mesh.peers()[0].address == address.partition("/p2p/")[0]


async def test_limits_per_address_hold_for_ipv6(start_host, dial):
    with trio.fail_after(60):
        async with (
            start_host(listen=(LOOPBACK6,), settings=MeshSettings(max_connections_per_address=1)) as server,
            start_host(listen=(LOOPBACK6,)) as one,
            start_host(listen=(LOOPBACK6,)) as two,
        ):
            await dial(one, server)
            with contextlib.suppress(BaseLibp2pError):  # refused before its own side was ready, or after
                await dial(two, server)
            await ConnectionWatch(two).wait_until(lambda: not two.get_network().connections)
            assert guard_of(server.get_network()).refusals["too many connections from one address"] == 1
