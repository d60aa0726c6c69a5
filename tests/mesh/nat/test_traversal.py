"""What is switched on when, seen on whole meshes on loopback."""

import random
import secrets
import time
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.peer.id import ID

from peernode.mesh import Mesh
from peernode.mesh.nat import reach_rounds
from peernode.mesh.nat.circuit_messages import HOP, STOP
from peernode.mesh.nat.reach_messages import PROTOCOL
from peernode.mesh.nat.traversal import is_active
from peernode.mesh.settings import MeshSettings
from peernode.wire.identity import Identity

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
OPEN = "/ip4/0.0.0.0/tcp/4701"


@pytest.mark.parametrize(
    ("nat", "listening", "active"),
    [
        ("auto", [LOOPBACK], False),
        ("auto", ["/ip6/::1/tcp/0", LOOPBACK], False),
        ("auto", [], False),
        ("auto", [OPEN], True),
        ("auto", [LOOPBACK, "/ip6/2001:db8::1/tcp/1"], True),
        ("on", [LOOPBACK], True),
        ("off", [OPEN], False),
    ],
)
def test_a_node_for_its_own_machine_does_nothing_unless_told(nat, listening, active):
    assert is_active(MeshSettings(nat=nat), listening) is active


@asynccontextmanager
async def running(*join, **settings):
    mesh = Mesh(
        identity=Identity.from_seed(secrets.token_bytes(32)),
        network="test",
        listen=[LOOPBACK],
        join=join,
        clock_ms=lambda: time.time_ns() // 1_000_000,
        rng=random.Random(1),
        settings=MeshSettings(**settings),
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(mesh.run)
        yield mesh
        nursery.cancel_scope.cancel()


async def until(condition):
    with trio.fail_after(60):
        while not condition():
            await trio.sleep(0.02)


async def spoken(asker, mesh):
    """The protocols that ``mesh`` speaks, as it tells a connected peer."""
    store = asker._life.host.get_peerstore()
    peer = ID.from_string(mesh.peer_id)
    found = []

    def known():
        found[:] = store.get_protocols(peer) if peer in store.peer_ids() else []
        return bool(found)

    await until(known)
    return found


async def test_on_loopback_auto_is_off_in_every_respect():
    async with running(nat="auto", relay="auto", upnp=True) as mesh, running(mesh.addresses()[0]) as asker:
        await until(asker.peers)
        protocols = await spoken(asker, mesh)
        assert not {PROTOCOL, HOP, STOP} & set(protocols)
        assert mesh.reachability().reach == "off"
        assert len(mesh.addresses()) == 1


async def test_nodes_that_reach_each_other_find_out_and_relay_if_they_may(monkeypatch):
    monkeypatch.setattr(reach_rounds, "GATHER_S", 0.05)
    async with running(nat="on", relay="auto") as one, running(one.addresses()[0], nat="on", relay="off") as two:
        await until(lambda: one.reachability().reach == two.reachability().reach == "public")
        assert one.reachability().relaying
        assert not two.reachability().relaying
        assert one.reachability().address == one.addresses()[0].partition("/p2p/")[0]


async def test_a_relay_that_was_told_to_serve_does_so_without_more():
    async with running(nat="off", relay="on") as mesh:
        assert mesh.reachability().relaying
        assert mesh.reachability().reach == "off"
