"""Which addresses are told, joined and dialled."""

import pytest

from peernode.mesh import BadJoinAddress
from peernode.mesh.addresses import advertised, dialable, parse_join
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


def test_an_advert_cannot_make_a_public_node_knock_on_its_own_machine():
    told = ["/ip4/127.0.0.1/tcp/22", "/ip6/::1/tcp/22", "/ip4/203.0.113.7/tcp/4001"]
    assert dialable(told, ["/ip4/198.51.100.1/tcp/4001"]) == ["/ip4/203.0.113.7/tcp/4001"]
    assert "/ip4/127.0.0.1/tcp/22" in dialable(told, ["/ip4/127.0.0.1/tcp/4001"])


def test_only_a_few_tcp_addresses_of_others_are_tried():
    own = [f"/ip4/203.0.113.1/tcp/4001/p2p/{PEER}"]
    told = ["/ip4/203.0.113.1/tcp/4001", "/ip4/1.2.3.4/udp/1/quic-v1", "/ip4/1.2.3.4/tcp/99999", "nonsense", "/unix/x"]
    assert dialable(told, own) == []
    assert len(dialable([f"/ip4/203.0.113.9/tcp/{port}" for port in range(1, 100)], own)) == 8
