"""How often whom: on a clock of the test's, with dials that end as the test says."""

import itertools
import random
from types import SimpleNamespace

import pytest
import trio
from libp2p.peer.id import ID

from peernode.mesh import DialFailed, connections, dialler
from peernode.mesh.backoff import MAX_PAUSE_S
from peernode.mesh.connections import REMEMBER_S, Connections
from peernode.mesh.dialing import DIAL_DEADLINE_S
from peernode.mesh.dialler import NAMED_PAUSE_S, RECENT_PAUSE_S
from peernode.mesh.directory import Directory
from peernode.mesh.known_peers import KnownPeers
from peernode.mesh.recruiting import GAVE_UP_S
from peernode.wire.identity import Identity

OWN, PEER, OTHER = sorted(Identity.from_seed(bytes([number]) * 32).peer_id for number in (1, 2, 3))
HOME = "/ip4/203.0.113.7/tcp/4001"


class Conn:
    direction = "outbound"
    is_closed = False


class Network:
    """As much of a swarm as the watch looks at."""

    def __init__(self):
        self.connections = {}
        self.watch = None

    def register_notifee(self, watch):
        self.watch = watch

    def get_network(self):
        return self

    def set(self, peer_id, *, connected):
        self.connections[ID.from_string(peer_id)] = [Conn()] if connected else []
        self.watch._note()


@pytest.fixture
def world(monkeypatch):
    """``dials``: (seconds, address) of every dial; ``answers``: addresses where somebody is."""
    world = SimpleNamespace(dials=[], answers=set(), network=Network())

    async def dial(host, peer_id, address, *, deadline_s):
        world.dials.append((trio.current_time(), address))
        if address not in world.answers:
            await trio.sleep(deadline_s)  # as if packets were dropped
            raise DialFailed("no")
        world.network.set(peer_id, connected=True)

    monkeypatch.setattr(dialler, "dial", dial)
    return world


def keeping(world, *, join=None, known=()):
    memory = KnownPeers(None, network="n", clock_ms=lambda: 0)
    for peer_id, address in known:
        memory.reached(peer_id, address)
    directory = Directory(network="n", clock_ms=lambda: 0, own=OWN)
    return connections.Connections(
        world.network,
        peer_id=OWN,
        join=join or {},
        directory=directory,
        own_addresses=list,
        rng=random.Random(1),
        known=memory,
    )


def gaps(world, since=0.0):
    times = [when for when, _ in world.dials if when >= since]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


async def run_for(kept: Connections, seconds, *then):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.run)
        await trio.sleep(seconds)
        for act in then:
            await act()
        nursery.cancel_scope.cancel()


async def test_a_named_peer_that_never_answers_is_tried_for_ever_with_growing_pauses(world, autojump_clock):
    start = trio.current_time()
    await run_for(keeping(world, join={PEER: [HOME]}), 3600)
    pauses = [gap - DIAL_DEADLINE_S for gap in gaps(world)]
    assert pauses[0] < 1.5 < pauses[2] < pauses[3]
    assert max(pauses) <= 1.2 * NAMED_PAUSE_S + 1
    assert world.dials[-1][0] - start > 3500


async def test_a_cut_of_a_minute_heals_within_seconds(world, autojump_clock):
    world.answers.add(HOME)

    async def cut_and_heal():
        world.answers.clear()
        world.network.set(PEER, connected=False)
        await trio.sleep(60)
        assert max(gaps(world, since=trio.current_time() - 55)) <= DIAL_DEADLINE_S + 1.2 * RECENT_PAUSE_S + 1
        world.answers.add(HOME)
        healed = trio.current_time()
        await kept.watch.wait_until(lambda: kept.watch.live(PEER))
        assert trio.current_time() - healed <= 10

    kept = keeping(world, known=[(PEER, HOME)])
    await run_for(kept, 30, cut_and_heal)


async def test_a_known_peer_that_is_gone_is_given_up_and_remembered_by_the_lonely(world, autojump_clock):
    start = trio.current_time()
    await run_for(keeping(world, known=[(PEER, HOME)]), 2 * REMEMBER_S + 300)
    dials = [when - start for when, _ in world.dials]
    assert len([when for when in dials if when < REMEMBER_S]) <= 20
    assert not [when for when in dials if REMEMBER_S + MAX_PAUSE_S < when < REMEMBER_S + GAVE_UP_S]
    assert [when for when in dials if when >= REMEMBER_S + GAVE_UP_S]


async def test_each_address_has_its_own_pauses(world, autojump_clock):
    moved = "/ip4/203.0.113.8/tcp/4001"
    kept = keeping(world, join={PEER: [HOME, moved], OTHER: ["/ip4/203.0.113.9/tcp/4001"]})

    async def come_back():
        world.answers.add(moved)
        await kept.watch.wait_until(lambda: kept.watch.live(PEER))

    await run_for(kept, 300, come_back)
    assert world.dials[-1][1] == moved
    assert len([address for _, address in world.dials if address == HOME]) > 10
    assert not kept.watch.live(OTHER)
