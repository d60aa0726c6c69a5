"""What a node keeps of the answers on its local network; real multicast is in tests/network/test_discovery_lan.py."""

import random

import pytest
import trio

from peernode.mesh.discovery.lan import MAX_NAMES, LanDiscovery
from peernode.mesh.discovery.lan_record import SERVICE, record
from peernode.mesh.found_peers import FoundPeers
from peernode.wire.identity import Identity

OWN, PEER = (Identity.from_seed(bytes([number]) * 32).peer_id for number in (1, 2))
HOME = "/ip4/192.168.1.2/tcp/4001"


@pytest.fixture
def found():
    return FoundPeers()


@pytest.fixture
def lan(found):
    return LanDiscovery(peer_id=OWN, network="home", own_addresses=list, found=found, rng=random.Random(1))


def said(peer_id, *addresses, network="home"):
    return {key.encode(): text.encode() for key, text in record(peer_id, network, addresses).items()}


async def test_a_peer_is_told_of_and_dropped_when_it_says_goodbye(lan, found):
    lan._note(f"a.{SERVICE}", said(PEER, HOME))
    assert found.addresses(PEER) == (HOME,)
    lan._note(f"a.{SERVICE}", None)
    assert lan._heard == {}


async def test_our_own_voice_and_other_networks_are_not_listened_to(lan, found):
    lan._note(f"a.{SERVICE}", said(OWN, HOME))
    lan._note(f"b.{SERVICE}", said(PEER, HOME, network="work"))
    lan._note(f"c.{SERVICE}", {})
    assert (found.peers(), lan._heard) == ([], {})


async def test_a_flood_of_names_is_bounded(lan, found):
    for number in range(10 * MAX_NAMES):
        lan._note(f"{number}.{SERVICE}", said(PEER, HOME))
    assert len(lan._heard) == MAX_NAMES
    assert found.peers() == [PEER]


async def test_a_node_without_a_network_waits_for_one(lan, autojump_clock):
    with trio.move_on_after(100) as waited:
        await lan.run()
    assert waited.cancelled_caught
