"""What is said on the local network, and what is believed of it: no more than a hint for the right network."""

import pytest

from peernode.mesh.discovery.lan_record import network_tag, reachable_on_lan, read_record, record
from peernode.wire.identity import Identity

PEER = Identity.from_seed(bytes(32)).peer_id
HOME = "/ip4/192.168.1.2/tcp/4001"


def published(**changes):
    properties = {key.encode(): text.encode() for key, text in record(PEER, "home", [HOME]).items()}
    return {**properties, **{key.encode(): value for key, value in changes.items()}}


def test_a_record_says_who_and_where():
    assert read_record(published(), "home") == (PEER, [HOME])


def test_other_networks_are_none_of_ours_and_their_names_stay_private():
    assert read_record(published(), "work") is None
    assert b"home" not in b"".join(published().values())
    assert network_tag("home") != network_tag("work")


def test_loopback_is_not_published_and_the_record_is_small():
    own = [f"/ip4/127.0.0.1/tcp/4001/p2p/{PEER}", f"{HOME}/p2p/{PEER}", f"/ip6/fd00::2/tcp/4002/p2p/{PEER}"]
    assert reachable_on_lan(own) == [HOME, "/ip6/fd00::2/tcp/4002"]
    assert reachable_on_lan([own[0]]) == []
    many = record(PEER, "home", reachable_on_lan([f"/ip4/192.168.1.2/tcp/{port}" for port in range(1, 100)]))
    assert len(many) == 10
    assert all(len(key) + len(text) < 255 for key, text in many.items())


@pytest.mark.parametrize(
    "changes",
    [{"id": None}, {"id": b""}, {"id": b"12D3KooNobody"}, {"id": b"\xff\xfe"}, {"net": None}, {"net": b"\x00"}],
)
def test_nonsense_is_no_peer(changes):
    assert read_record(published(**changes), "home") is None
    assert read_record({}, "home") is None


@pytest.mark.parametrize(
    "address", [b"", None, b"\xff", b"/unix/x", b"/ip4/192.168.1.2/udp/1", b"/ip4/1.2.3.4/tcp/" + b"1" * 200]
)
def test_an_address_that_is_none_is_left_out(address):
    assert read_record(published(a0=address, a1=HOME.encode()), "home") == (PEER, [HOME])
