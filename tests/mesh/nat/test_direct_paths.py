"""From a circuit to a direct connection, on loopback: the same exchange as between two NATs, without the NATs."""

import random
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.host.exceptions import StreamFailure
from libp2p.relay.circuit_v2.pb.dcutr_pb2 import HolePunch
from multiaddr import Multiaddr

from peernode.mesh.dialing import ConnectionWatch
from peernode.mesh.dialing import dial as dial_address
from peernode.mesh.directory import Directory
from peernode.mesh.errors import DialFailed
from peernode.mesh.gossip import Gossip
from peernode.mesh.nat import direct_paths, hole_punch
from peernode.mesh.nat.circuit_messages import DCUTR, read_message, write_message
from peernode.mesh.nat.circuit_stream import is_relayed
from peernode.mesh.nat.direct_paths import DirectPaths
from peernode.mesh.nat.errors import PunchFailed, RelayRefused
from peernode.mesh.nat.hole_punch import HolePuncher
from peernode.mesh.nat.relay_client import RelayClient
from peernode.mesh.nat.relay_limits import RelayLimits
from peernode.mesh.nat.relay_service import RelayService
from peernode.mesh.traffic import Flow


def address_of(host):
    return str(host.get_transport_addrs()[0])


def id_of(host):
    return str(host.get_id())


def connections(host, peer):
    return [conn for conn in host.get_network().connections.get(peer.get_id(), []) if not conn.is_closed]


def puncher_of(host, outside=None):
    return HolePuncher(host, outside=lambda: [outside or address_of(host)], dialable=list)


async def no_known_address(peer):
    raise DialFailed("None.")


@pytest.fixture
def circuit(start_host):
    """Two hosts that are connected through a third."""

    @asynccontextmanager
    async def start():
        async def dial(peer, address):
            await dial_address(caller, peer, address)

        async with start_host() as relay, start_host() as called, start_host() as caller:
            RelayService(relay, RelayLimits()).switch(True)
            await dial_address(called, id_of(relay), address_of(relay))
            await RelayClient(called, dial=dial, reserved={id_of(relay)}).reserve(id_of(relay))
            client = RelayClient(caller, dial=dial, reserved=())
            await client.call(id_of(called), f"{address_of(relay)}/p2p/{id_of(relay)}/p2p-circuit")
            yield caller, called

    return start


async def test_a_punch_makes_one_direct_connection_on_which_the_caller_is_the_dialler(circuit):
    async with circuit() as (caller, called):
        puncher_of(caller)
        await puncher_of(called).lead(id_of(caller))
        direct = [conn for conn in connections(called, caller) if not is_relayed(conn)]
        assert [str(conn.direction) for conn in direct] == ["inbound"]
        with trio.fail_after(60):  # the caller's own side may be ready a moment later
            await ConnectionWatch(caller).wait_until(lambda: len(connections(caller, called)) == 2)
        (other,) = [conn for conn in connections(caller, called) if not is_relayed(conn)]
        assert str(other.direction) == "outbound"


@pytest.mark.parametrize("quicker", ["leader", "follower"])
async def test_a_dial_that_is_there_before_the_other_has_begun_makes_the_same_connection(circuit, quicker):
    async def dials_too_late(peer, address, leading):
        await trio.sleep_forever()

    async with circuit() as (caller, called):
        follower, leader = puncher_of(caller), puncher_of(called)
        (follower if quicker == "leader" else leader)._dial = dials_too_late
        await leader.lead(id_of(caller))
        await ConnectionWatch(caller).wait_until(lambda: len(connections(caller, called)) == 2)
        (mine,) = [conn for conn in connections(caller, called) if not is_relayed(conn)]
        (theirs,) = [conn for conn in connections(called, caller) if not is_relayed(conn)]
        assert (str(mine.direction), str(theirs.direction)) == ("outbound", "inbound")
        stream = await caller.new_stream(called.get_id(), [TProtocol("/peernode/test-echo/1")])
        await stream.write(b"direct")
        assert await stream.read(6) == b"direct"


async def test_a_punch_that_hits_nothing_says_so_and_leaves_the_circuit(circuit, monkeypatch):
    monkeypatch.setattr(hole_punch, "DIAL_S", 0.5)
    async with circuit() as (caller, called):
        puncher_of(caller, "/ip4/127.0.0.1/tcp/1")
        with pytest.raises(PunchFailed):
            await puncher_of(called, "/ip4/127.0.0.1/tcp/1").lead(id_of(caller))
        assert len(connections(called, caller)) == 1


async def test_a_peer_without_the_protocol_or_without_addresses_is_no_disaster(circuit):
    async with circuit() as (caller, called):
        lead = HolePuncher(called, outside=lambda: [address_of(called)], dialable=list).lead
        with pytest.raises(PunchFailed):
            await lead(id_of(caller))
        HolePuncher(caller, outside=list, dialable=list)
        with pytest.raises(PunchFailed) as failed:
            await lead(id_of(caller))
        assert "no address" in failed.value.sentence


async def test_only_over_a_circuit_can_a_peer_make_this_node_dial(start_host):
    async with start_host() as victim, start_host() as pushy, start_host() as target:
        puncher_of(victim)
        await dial_address(pushy, id_of(victim), address_of(victim))
        with pytest.raises((RelayRefused, StreamFailure)):  # the reset may come before the stream is open
            stream = await pushy.new_stream(victim.get_id(), [TProtocol(DCUTR)])
            addresses = [Multiaddr(address_of(target)).to_bytes()]
            await write_message(stream, HolePunch(type=HolePunch.CONNECT, ObsAddrs=addresses))
            await read_message(stream, HolePunch)
        assert not connections(target, victim)


@pytest.fixture
def quick(monkeypatch):
    """Direct paths are tried at once, and circuits looked at often."""
    monkeypatch.setattr(direct_paths, "PAUSES_S", (0.02, *direct_paths.PAUSES_S))
    monkeypatch.setattr(direct_paths, "DRAIN_LOOK_S", 0.02)


async def test_the_relayed_connection_goes_when_its_last_job_has_ended(circuit, nursery, quick):
    async with circuit() as (caller, called):
        (relayed,) = connections(caller, called)
        job = await caller.new_stream(called.get_id(), [TProtocol("/peernode/test-echo/1")])
        for host, other in ((caller, called), (called, caller)):
            paths = DirectPaths(puncher_of(host), dial_known=no_known_address, rng=random.Random(1))
            nursery.start_soon(paths.improve, connections(host, other)[0])
        await ConnectionWatch(caller).wait_until(lambda: len(connections(caller, called)) == 2)
        looked = trio.Event()
        streams_of, looks = relayed.get_streams, []

        def looking():
            looks.append(streams_of())
            if len(looks) > 10:  # more often than an idle circuit would be looked at
                looked.set()
            return looks[-1]

        relayed.get_streams = looking
        await looked.wait()
        assert not relayed.is_closed
        await job.write(b"still here")
        assert await job.read(10) == b"still here"
        await job.reset()
        with trio.fail_after(60):
            await relayed.event_closed.wait()
        (direct,) = connections(caller, called)
        assert not is_relayed(direct)
        answer = await caller.new_stream(called.get_id(), [TProtocol("/peernode/test-echo/1")])
        await answer.write(b"direct")
        assert await answer.read(6) == b"direct"


async def test_gossip_moves_to_the_direct_connection(circuit, nursery, quick):
    async with circuit() as (caller, called):
        gossips = []
        for host in (caller, called):
            directory = Directory(network="test", clock_ms=lambda: 0)
            gossip = Gossip(host, network="test", directory=directory, flow=Flow())
            await nursery.start(gossip.run)
            gossips.append(gossip._pubsub)
        for host, other in ((caller, called), (called, caller)):
            (connection,) = connections(host, other)
            await host.get_network().notify_connected(connection)  # it is older than gossip here
        with trio.fail_after(60):
            while any(
                other.get_id() not in gossip.peers for gossip, other in zip(gossips, (called, caller), strict=True)
            ):
                await trio.sleep(0.02)
        relayed = gossips[0].peers[called.get_id()].muxed_conn
        for host, other in ((caller, called), (called, caller)):
            paths = DirectPaths(puncher_of(host), dial_known=no_known_address, rng=random.Random(1))
            nursery.start_soon(paths.improve, connections(host, other)[0])

        def on_direct(gossip, peer):
            stream = gossip.peers.get(peer.get_id())
            return stream is not None and not stream.muxed_conn.is_closed and stream.muxed_conn is not relayed

        with trio.fail_after(60):
            while not (on_direct(gossips[0], called) and on_direct(gossips[1], caller) and relayed.is_closed):
                await trio.sleep(0.05)
