"""Which addresses are told, joined and dialled."""

import pytest

from peernode.mesh import BadJoinAddress
from peernode.mesh.addresses import MAX_READ, MAX_TRIED, advertised, dialable, parse_join
from peernode.wire.identity import Identity

PEER = Identity.from_seed(bytes(32)).peer_id


def test_a_join_address_gives_peer_and_transport():
    assert parse_join(f"/ip4/203.0.113.7/tcp/4001/p2p/{PEER}") == (PEER, "/ip4/203.0.113.7/tcp/4001")
    assert parse_join(f"/ip6/::1/tcp/4001/p2p/{PEER}") == (PEER, "/ip6/::1/tcp/4001")


@pytest.mark.parametrize(
    "address",
    ["", "203.0.113.7:4001", "/ip4/203.0.113.7/tcp/4001", "/ip4/1.2.3.4/tcp/1/p2p/x", f"/ip4/x/tcp/1/p2p/{PEER}"],
)
def test_a_join_address_that_cannot_be_one_is_refused_by_code(address):
    with pytest.raises(BadJoinAddress) as refused:
        parse_join(address)
    assert refused.value.code == "bad_join_address"
    assert refused.value.remedy


def test_a_wildcard_stands_for_the_addresses_of_the_machine():
    for address in advertised(["/ip4/0.0.0.0/tcp/4001", "/ip6/::/tcp/4001"], PEER):
        assert "/0.0.0.0/" not in address
        assert "/::/" not in address
        assert address.endswith(f"/tcp/4001/p2p/{PEER}")
    assert advertised(["/ip4/10.0.0.1/tcp/4001"], PEER) == [f"/ip4/10.0.0.1/tcp/4001/p2p/{PEER}"]


PUBLIC = "/ip4/198.51.100.1/tcp/4001"


@pytest.mark.parametrize(
    "told",
    [
        "/ip4/127.0.0.1/tcp/22",
        "/ip4/127.0.0.1/tcp/4001",
        "/ip4/127.255.255.254/tcp/4001",
        "/ip6/::1/tcp/4001",
        "/ip6/::ffff:127.0.0.1/tcp/4001",
        "/ip6/::ffff:7f00:1/tcp/4001",
        "/ip4/0.0.0.0/tcp/4001",
        "/ip6/::/tcp/4001",
        "/ip4/169.254.169.254/tcp/80",
        "/ip6/fe80::1/tcp/4001",
        "/ip4/224.0.0.251/tcp/5353",
        "/ip4/255.255.255.255/tcp/4001",
        "/ip4/10.0.0.1/tcp/4001",
        "/ip4/172.16.5.5/tcp/4001",
        "/ip4/192.168.1.1/tcp/4001",
        "/ip4/100.64.0.1/tcp/4001",
        "/ip6/fd00::1/tcp/4001",
        "/dns4/localhost/tcp/4001",
        "/dns4/router.example/tcp/4001",
        "/ip4/203.0.113.7/tcp/0",
        "/ip4/203.0.113.7/tcp/99999",
        "/ip4/203.0.113.7/udp/1/quic-v1",
        "/ip4/203.0.113.7/tcp/4001/ws",
        "/ip4/203.0.113.7/tcp/4001/p2p-circuit",
        "/ip4/203.0.113.7/tcp/4001/p2p/" + "x" * 500,
        "nonsense",
        "/unix/x",
        "",
        PUBLIC,
    ],
)
def test_a_claim_cannot_make_a_public_node_knock_on_its_own_machine_or_network(told):
    assert dialable([told, "/ip4/203.0.113.7/tcp/443"], [PUBLIC]) == ["/ip4/203.0.113.7/tcp/443"]


def test_nodes_on_loopback_find_each_other_there_but_no_services():
    told = ["/ip4/127.0.0.1/tcp/22", "/ip4/127.0.0.1/tcp/4002"]
    assert dialable(told, ["/ip4/127.0.0.1/tcp/4001"]) == ["/ip4/127.0.0.1/tcp/4002"]
    assert dialable(told, ["/ip4/127.0.0.1/tcp/4001", PUBLIC]) == []
    assert dialable(told, []) == []


def test_nodes_of_one_private_network_find_each_other_there_but_no_services():
    told = ["/ip4/192.168.1.1/tcp/80", "/ip4/192.168.7.7/tcp/4001", "/ip4/10.0.0.7/tcp/4001", "/ip6/fd00::7/tcp/4001"]
    assert dialable(told, ["/ip4/192.168.1.5/tcp/4001"]) == ["/ip4/192.168.7.7/tcp/4001"]
    assert dialable(told, ["/ip6/fd00::1/tcp/4001"]) == ["/ip6/fd00::7/tcp/4001"]


def test_only_a_few_addresses_of_a_peer_are_tried_however_many_it_names():
    told = [f"/ip4/203.0.113.9/tcp/{port}" for port in range(1, 1000)]
    assert len(dialable(told, [PUBLIC])) == MAX_TRIED
    read = iter(told)
    dialable(read, [PUBLIC])
    assert next(read) == told[MAX_READ]
