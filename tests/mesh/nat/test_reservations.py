"""Two relays are kept, renewed and replaced."""

import itertools
import random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from peernode.mesh.nat.errors import RelayRefused
from peernode.mesh.nat.reservations import RENEW_S, RelayPath, Reservations


@pytest.fixture
def autojump_clock():
    return MockClock(autojump_threshold=0)


class World:
    """Relays that say yes or no, and what happened."""

    def __init__(self, *relays):
        self.relays = list(relays)
        self.refusing = set()
        self.asked = []
        self.changes = []
        self.kept = Reservations(
            candidates=lambda: [RelayPath(relay, f"/ip4/198.51.100.1/tcp/{ord(relay)}") for relay in self.relays],
            reserve=self.reserve,
            changed=lambda: self.changes.append(self.kept.relays),
            rng=random.Random(1),
        )

    async def reserve(self, path):
        relay = path.peer
        self.asked.append((relay, trio.current_time()))
        if relay in self.refusing:
            raise RelayRefused("No.")


async def test_nobody_is_asked_without_need(autojump_clock, nursery):
    world = World("a", "b")
    nursery.start_soon(world.kept.run)
    await trio.sleep(100)
    assert world.asked == []


async def test_two_of_many_are_kept_and_renewed(autojump_clock, nursery):
    world = World("a", "b", "c")
    nursery.start_soon(world.kept.run)
    world.kept.want(True)
    await trio.sleep(1)
    assert world.kept.relays == ["a", "b"]
    assert world.kept.addresses()[0] == "/ip4/198.51.100.1/tcp/97/p2p/a/p2p-circuit"
    assert "a" in world.kept
    assert "c" not in world.kept
    assert world.changes == [["a", "b"]]
    await trio.sleep(4 * RENEW_S)
    times = [at for relay, at in world.asked if relay == "a"]
    assert len(times) >= 4
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 300
    assert len(world.changes) == 1


async def test_a_lost_or_refusing_relay_is_replaced(autojump_clock, nursery):
    world = World("a", "b", "c")
    world.refusing = {"a"}
    nursery.start_soon(world.kept.run)
    world.kept.want(True)
    await trio.sleep(1)
    assert world.kept.relays == ["b", "c"]
    world.relays.remove("b")
    world.refusing = set()
    world.kept.look()
    await wait_all_tasks_blocked()
    assert world.kept.relays == ["c"]  # a said no a moment ago
    await trio.sleep(100)
    assert set(world.kept.relays) == {"c", "a"}


async def test_relays_are_let_go_when_the_need_ends(autojump_clock, nursery):
    world = World("a", "b")
    nursery.start_soon(world.kept.run)
    world.kept.want(True)
    await trio.sleep(1)
    world.kept.want(False)
    await trio.sleep(1)
    assert world.kept.relays == []
    assert world.changes[-1] == []


async def test_a_peer_that_is_only_heard_of_may_relay_and_must_stay_connected(autojump_clock, nursery):
    world = World()
    paths = [RelayPath("far", "/ip4/198.51.100.9/tcp/1", connected=False)]
    world.kept._candidates = lambda: paths
    nursery.start_soon(world.kept.run)
    world.kept.want(True)
    await trio.sleep(1)
    assert world.kept.relays == ["far"]
    paths[0] = RelayPath("far", "/ip4/198.51.100.9/tcp/1")
    world.kept.look()
    await trio.sleep(1)
    assert len(world.asked) == 1
    paths[0] = RelayPath("far", "/ip4/198.51.100.9/tcp/1", connected=False)
    world.kept.look()
    await trio.sleep(1)
    assert len(world.asked) == 2  # lost, and asked anew
    assert world.changes == [["far"]]
