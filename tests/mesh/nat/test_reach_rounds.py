"""When peers are asked whether this node can be reached."""

import random

import pytest
import trio
from trio.testing import MockClock

from peernode.mesh.nat.reach_rounds import ReachRounds
from peernode.mesh.nat.reachability import Answer, Reach


@pytest.fixture
def autojump_clock():
    return MockClock(autojump_threshold=0)


class Peers:
    """Peers that answer as told; notes who was asked when, at which port."""

    def __init__(self, *names, reached=True):
        self.names = list(names)
        self.reached = reached
        self.asked = []
        self.verdicts = []
        self.addresses = ["/ip4/127.0.0.1/tcp/1/p2p/x", "/ip4/198.51.100.1/tcp/4701/p2p/x"]
        self.rounds = ReachRounds(
            self,
            helpers=lambda: self.names,
            direct=lambda: self.addresses,
            decided=lambda verdict: self.verdicts.append(verdict.reach),
            rng=random.Random(1),
        )

    async def ask(self, helper, port):
        self.asked.append((helper, port, trio.current_time()))
        await trio.sleep(1)
        self.rounds.look()  # the helper's own connection
        return None if self.reached is None else Answer(helper, "198.51.100.1", port, self.reached)


async def test_the_first_peers_are_asked_at_once_and_settled_rounds_are_rare(autojump_clock, nursery):
    peers = Peers()
    nursery.start_soon(peers.rounds.run)
    await trio.sleep(3)
    peers.names = ["a", "b", "c", "d", "e"]
    peers.rounds.look()
    await trio.sleep(2)
    assert peers.verdicts == [Reach.PUBLIC]
    assert len(peers.asked) == 3
    assert {port for _, port, _ in peers.asked} == {4701}
    await trio.sleep(400)
    assert len(peers.asked) == 3
    await trio.sleep(400)
    assert len(peers.asked) == 6


async def test_a_contradiction_is_looked_into_soon(autojump_clock, nursery):
    peers = Peers("a", "b")
    nursery.start_soon(peers.rounds.run)
    await trio.sleep(5)
    peers.reached = False
    peers.rounds.ask_at(0)
    await trio.sleep(20)
    assert peers.verdicts == [Reach.PUBLIC, Reach.PRIVATE]


async def test_silence_decides_nothing_and_is_not_hammered(autojump_clock, nursery):
    peers = Peers("a", reached=None)
    nursery.start_soon(peers.rounds.run)
    await trio.sleep(60)
    assert peers.verdicts == []
    assert 4 <= len(peers.asked) <= 8


async def test_a_new_address_starts_anew(autojump_clock, nursery):
    peers = Peers("a", "b")
    nursery.start_soon(peers.rounds.run)
    await trio.sleep(5)
    asked = len(peers.asked)
    peers.addresses = ["/ip4/198.51.100.77/tcp/4702/p2p/x"]
    await trio.sleep(45)
    assert len(peers.asked) == asked + 2
    assert peers.asked[-1][1] == 4702
    assert peers.verdicts == [Reach.PUBLIC, Reach.PUBLIC]


async def test_a_port_that_the_router_opened_is_what_is_asked_about(autojump_clock, nursery):
    peers = Peers("a")
    nursery.start_soon(peers.rounds.run)
    await trio.sleep(5)
    peers.rounds.ask_at(50_000)
    await trio.sleep(5)
    assert peers.asked[-1][1] == 50_000
