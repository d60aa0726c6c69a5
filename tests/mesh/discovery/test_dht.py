"""Nodes that only know one way in find each other by the table; what strangers put there is bounded."""

import contextlib
import random
import secrets
import time
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

import pytest
import trio
import varint
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.kad_dht.common import PROTOCOL_ID
from libp2p.kad_dht.pb.kademlia_pb2 import Message, Record
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

from peernode.mesh import DialFailed, Mesh
from peernode.mesh.dialing import ConnectionWatch
from peernode.mesh.discovery.dht import (
    MAX_ASKED,
    MAX_KEYS,
    RECORD_AGE_S,
    BoundedProviders,
    DhtDiscovery,
    network_key,
)
from peernode.mesh.discovery.dht_host import DhtHost
from peernode.mesh.found_peers import FoundPeers
from peernode.mesh.settings import MeshSettings
from peernode.wire.identity import Identity
from tests.mesh.conftest import LOOPBACK

PEERS = [ID.from_string(Identity.from_seed(number.to_bytes(32, "big")).peer_id) for number in range(MAX_ASKED + 5)]


@asynccontextmanager
async def running(*, join=(), network="home", dht=True):
    mesh = Mesh(
        identity=Identity.from_seed(secrets.token_bytes(32)),
        network=network,
        listen=[LOOPBACK],
        join=join,
        clock_ms=lambda: time.time_ns() // 1_000_000,
        rng=random.Random(1),
        settings=MeshSettings(dht=dht),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        yield mesh
        nursery.cancel_scope.cancel()


async def connected(mesh, others):
    wanted = {other.peer_id for other in others}
    watch = mesh._life.connections.watch
    await watch.wait_until(lambda: wanted <= watch.peers())


@pytest.mark.real
async def test_nodes_that_only_know_one_way_in_find_those_of_their_own_network():
    with trio.fail_after(90):
        async with AsyncExitStack() as stack:
            door = await stack.enter_async_context(running(network="anything"))
            nodes = [await stack.enter_async_context(running(join=door.addresses())) for _ in range(4)]
            stranger = await stack.enter_async_context(running(join=door.addresses(), network="work"))
            # Nobody sends adverts here: what they know of each other they have from the table.
            for node in nodes:
                await connected(node, [other for other in nodes if other is not node])
            found = [node._life.connections.found.peers() for node in nodes]
            assert all(stranger.peer_id not in peers and door.peer_id not in peers for peers in found)
            assert stranger._life.connections.found.peers() == []


async def test_a_node_that_did_not_switch_it_on_takes_no_part():
    with trio.fail_after(60):
        async with running(dht=False) as off, running(join=off.addresses(), dht=True) as other:
            await connected(other, [off])
            with pytest.raises(DialFailed):
                async with other.open(off.peer_id, PROTOCOL_ID, timeout_s=30):
                    pass


@pytest.fixture
def providers(monkeypatch):
    class Dht:
        peer_routing = None

    class Host:
        def get_id(self):
            return PEERS[0]

    now = [1_700_000_000.0]
    monkeypatch.setattr("libp2p.kad_dht.provider_store.time.time", lambda: now[0])
    store = BoundedProviders(Host(), Dht(), network_key("home"))
    return store, now


def info(number):
    return PeerInfo(PEERS[number], [Multiaddr(f"/ip4/203.0.113.7/tcp/{4000 + number}")])


def test_the_records_renewed_last_are_kept_and_old_ones_forgotten(providers):
    store, now = providers
    key = network_key("home")
    for number in range(MAX_ASKED + 3):
        store.add_provider(key, info(number))
        now[0] += 1
    kept = [found.peer_id for found in store.get_providers(key)]
    assert set(kept) == set(PEERS[3 : MAX_ASKED + 3])
    now[0] += RECORD_AGE_S - 1
    assert [found.peer_id for found in store.get_providers(key)] == [PEERS[MAX_ASKED + 2]]
    now[0] += 2
    assert store.get_providers(key) == []
    assert store.providers == {}


def test_strangers_keys_are_bounded_and_cannot_displace_our_own(providers):
    store, _ = providers
    for number in range(4 * MAX_KEYS):
        store.add_provider(network_key(f"stranger{number}"), info(1))
    assert len(store.providers) == MAX_KEYS
    store.add_provider(network_key("home"), info(2))
    assert [found.peer_id for found in store.get_providers(network_key("home"))] == [PEERS[2]]


def test_the_key_of_a_network_is_a_digest():
    assert network_key("home") != network_key("work")
    assert len(network_key("home")) == 34
    assert b"home" not in network_key("home")


async def test_the_table_dials_only_as_we_would_and_remembers_apart(start_host):
    reached = []

    async def reach(peer_id, told):
        reached.append((peer_id, told))
        raise DialFailed("no")

    with trio.fail_after(60):
        async with start_host() as host:
            seen = DhtHost(host, reach=reach, own_addresses=lambda: ["/ip4/203.0.113.1/tcp/4001"])
            seen.get_peerstore().add_addrs(PEERS[1], [Multiaddr("/ip4/127.0.0.1/tcp/22")], 60)
            with pytest.raises(DialFailed):
                await seen.new_stream(PEERS[1], [PROTOCOL_ID])
            assert reached == [(str(PEERS[1]), ["/ip4/127.0.0.1/tcp/22"])]
            assert PEERS[1] not in host.get_peerstore().peer_ids()
            assert [str(address) for address in seen.get_addrs()] == ["/ip4/203.0.113.1/tcp/4001"]
            with pytest.raises(DialFailed):
                await seen.new_stream(PEERS[2], [PROTOCOL_ID])
            assert reached[-1] == (str(PEERS[2]), [])


async def test_a_conversation_with_the_table_that_says_nothing_is_ended(start_host, dial, open_stream, monkeypatch):
    monkeypatch.setattr("peernode.mesh.discovery.dht_host.INBOUND_DEADLINE_S", 0.2)

    async def wait(stream):
        await stream.read(1)

    with trio.fail_after(60):
        async with start_host() as server, start_host() as client:
            DhtHost(server, reach=None, own_addresses=list).set_stream_handler(TProtocol("/table/1"), wait)
            await dial(client, server)
            stream = await open_stream(client, server, "/table/1")
            with pytest.raises(StreamError):
                await stream.read(1)


async def test_garbage_and_values_in_the_table_change_nothing(start_host, dial, open_stream):
    found = FoundPeers()

    async def reach(peer_id, told):
        raise DialFailed("no")

    async def say(client, server, payload):
        stream = await open_stream(client, server, PROTOCOL_ID)
        await stream.write(payload)
        await stream.close_write()
        with contextlib.suppress(BaseLibp2pError):
            while await stream.read(65536):
                pass

    def message(kind, **fields):
        raw = Message(type=kind, **fields).SerializeToString()
        return varint.encode(len(raw)) + raw

    rng = random.Random(1)
    kinds = Message.MessageType
    with trio.fail_after(60):
        async with start_host() as server, start_host() as client:
            connections = SimpleNamespace(reach=reach, watch=ConnectionWatch(server), found=found)
            table = DhtDiscovery(server, connections=connections, network="home", own_addresses=list)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(table.run)
                await dial(client, server)
                for _ in range(20):
                    await say(client, server, rng.randbytes(rng.randrange(200)))
                    await say(client, server, varint.encode(50) + rng.randbytes(50))
                await say(client, server, varint.encode(1 << 40))
                for key in (b"/pk/" + bytes(34), b"/ipns/x", b"plain"):
                    record = Record(key=key, value=b"x" * 1000)
                    await say(client, server, message(kinds.PUT_VALUE, key=key, record=record))
                own = client.get_id().to_bytes()
                for number in range(20):
                    provider = Message.Peer(id=own, addrs=[Multiaddr("/ip4/127.0.0.1/tcp/22").to_bytes()])
                    key = network_key(f"stranger{number}")
                    await say(client, server, message(kinds.ADD_PROVIDER, key=key, providerPeers=[provider]))
                assert len(table._dht.value_store.store) == 0
                assert len(table._providers.providers) <= 11  # our own, and ten in ten seconds from one peer
                stream = await open_stream(client, server, PROTOCOL_ID)
                await stream.write(message(kinds.FIND_NODE, key=own))
                assert await stream.read(1)
                await stream.reset()
                nursery.cancel_scope.cancel()
