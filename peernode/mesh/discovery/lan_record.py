"""What a node says of itself on the local network: the TXT record of a DNS-SD service (RFC 6763, section 6).

``id``: the peer id. ``net``: a digest of the network's name, so that nodes of one LAN find their own kind and the name
stays private. ``a0`` … ``a7``: multiaddrs without the peer id. Pure; nothing here is signed or believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from peernode.mesh.addresses import MAX_LENGTH, MAX_TRIED, is_address, is_loopback
from peernode.wire.errors import BadPeerId
from peernode.wire.identity import public_key_of

SERVICE = "_peernode._tcp.local."


def network_tag(network: str) -> str:
    """Sixteen hexadecimal digits that stand for the name of a network."""
    return hashlib.blake2b(network.encode(), digest_size=8, person=b"peernode/lan/1").hexdigest()


def reachable_on_lan(addresses: Sequence[str]) -> list[str]:
    """Those of a node's own addresses that others on the LAN can use, without the peer id, at most eight."""
    bare = (address.partition("/p2p/")[0] for address in addresses)
    return [address for address in bare if is_address(address) and not is_loopback(address)][:MAX_TRIED]


def record(peer_id: str, network: str, addresses: Sequence[str]) -> dict[str, str]:
    """The properties to publish; ``addresses`` as ``reachable_on_lan`` gives them."""
    numbered = {f"a{number}": address for number, address in enumerate(addresses[:MAX_TRIED])}
    return {"id": peer_id, "net": network_tag(network), **numbered}


def read_record(properties: Mapping[bytes, bytes | None], network: str) -> tuple[str, list[str]] | None:
    """The peer id and addresses in somebody's properties; None unless it is a peer of ``network``."""
    try:
        peer_id = (properties.get(b"id") or b"").decode("ascii")
        public_key_of(peer_id)
    except (UnicodeDecodeError, BadPeerId):
        return None
    if properties.get(b"net") != network_tag(network).encode():
        return None
    told = (properties.get(b"a%d" % number) or b"" for number in range(MAX_TRIED))
    addresses = [text.decode("ascii", "replace") for text in told if 0 < len(text) <= MAX_LENGTH]
    return peer_id, [address for address in addresses if is_address(address)]
