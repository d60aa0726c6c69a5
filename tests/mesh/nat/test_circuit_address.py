"""Circuit addresses: made, read and refused."""

import pytest

from peernode.mesh import BadJoinAddress
from peernode.mesh.addresses import dialable, parse_join
from peernode.mesh.nat.circuit_address import circuit_address, is_circuit, relay_of
from peernode.wire.identity import Identity

RELAY = Identity.from_seed(bytes(32)).peer_id
PEER = Identity.from_seed(bytes([1]) * 32).peer_id
AT = "/ip4/198.51.100.10/tcp/4701"
CIRCUIT = f"{AT}/p2p/{RELAY}/p2p-circuit"


def test_a_circuit_address_names_relay_and_way():
    assert circuit_address(AT, RELAY) == circuit_address(f"{AT}/p2p/{RELAY}", RELAY) == CIRCUIT
    assert relay_of(CIRCUIT) == relay_of(f"{CIRCUIT}/p2p/{PEER}") == (RELAY, AT)
    assert is_circuit(CIRCUIT)
    assert not is_circuit(f"{AT}/p2p/{RELAY}")


@pytest.mark.parametrize(
    "address",
    [
        AT,
        f"{AT}/p2p-circuit",
        f"{AT}/p2p/nonsense/p2p-circuit",
        f"/p2p/{RELAY}/p2p-circuit",
        f"/ip4/198.51.100.10/udp/4701/p2p/{RELAY}/p2p-circuit",
        f"{CIRCUIT}/p2p/{PEER}/p2p-circuit",
        f"{CIRCUIT}/ip4/127.0.0.1/tcp/22",
        f"{AT}/p2p/{PEER}/p2p/{RELAY}/p2p-circuit",
    ],
)
def test_what_is_no_circuit_address_is_not_taken_for_one(address):
    assert relay_of(address) is None


def test_a_circuit_address_can_be_joined():
    assert parse_join(f"{CIRCUIT}/p2p/{PEER}") == (PEER, CIRCUIT)
    with pytest.raises(BadJoinAddress):
        parse_join(CIRCUIT)


def test_claimed_circuit_addresses_are_dialled_only_through_relays_that_may_be_dialled():
    own = ["/ip4/203.0.113.1/tcp/4001"]
    assert dialable([f"{CIRCUIT}/p2p/{PEER}"], own) == [CIRCUIT]
    for host in ("127.0.0.1", "192.168.1.1", "169.254.1.1", "0.0.0.0"):
        claimed = f"/ip4/{host}/tcp/4701/p2p/{RELAY}/p2p-circuit/p2p/{PEER}"
        assert dialable([claimed], own) == []
    six = f"/ip6/2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/tcp/47011/p2p/{RELAY}/p2p-circuit"
    assert dialable([f"{six}/p2p/{PEER}"], own) == [six]


def test_the_relay_of_ours_is_not_taken_for_ourselves():
    assert dialable([f"{AT}/p2p/{RELAY}"], ["/ip4/203.0.113.1/tcp/4001"]) == [AT]
