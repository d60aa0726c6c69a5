"""Multiaddrs: which of ours others can dial, which of theirs we dial, and what a ``--join`` address says.

Pure but for the question which addresses the machine's interfaces have. Leaves dialling to ``connections``.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError
from multiaddr.utils import get_network_addrs

from peernode.mesh.errors import BadJoinAddress
from peernode.mesh.nat.circuit_address import circuit_address, is_circuit, relay_of
from peernode.wire.errors import BadPeerId
from peernode.wire.identity import public_key_of

MAX_TRIED = 8
# Of a list of claimed addresses no more are looked at, and none that is longer.
MAX_READ = 32
MAX_LENGTH = 224
# Below are the services of an operating system.
FIRST_FREE_PORT = 1024

_BROADCAST = ipaddress.ip_address("255.255.255.255")
_PRIVATE = [
    ipaddress.ip_network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
]


def parse_join(address: str) -> tuple[str, str]:
    """The (peer id, address without it) of a ``/ip4/…/tcp/…/p2p/12D3Koo…`` multiaddr. Raises ``BadJoinAddress``."""
    transport, separator, peer_id = address.rpartition("/p2p/")
    try:
        if not separator or "/tcp/" not in transport:
            raise ValueError("it must read like /ip4/203.0.113.7/tcp/4001/p2p/12D3Koo…")
        Multiaddr(transport)
        public_key_of(peer_id)
    except (ValueError, MultiaddrError, BadPeerId) as error:
        raise BadJoinAddress(
            f"Cannot join {address}.", cause=str(error), remedy="Copy the address that the other node prints."
        ) from error
    return peer_id, transport


def host_of(address: str) -> str:
    """The IP address or name in a multiaddr; empty when there is none."""
    parts = address.split("/")
    return parts[2] if len(parts) > 2 else ""


def is_loopback(address: str) -> bool:
    """True when the multiaddr leads back to the same machine."""
    host = host_of(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def advertised(listening: Iterable[str], peer_id: str) -> list[str]:
    """The full multiaddrs to tell others, from those listened on; a wildcard stands for every interface's address."""
    full: dict[str, None] = {}
    for address in listening:
        bare = address.partition("/p2p/")[0]
        host = host_of(bare)
        hosts = [host]
        if host in ("0.0.0.0", "::"):
            version = 6 if ":" in host else 4
            # A machine without a network still serves itself.
            hosts = get_network_addrs(version) or ["127.0.0.1" if version == 4 else "::1"]
        for each in hosts:
            full[bare.replace(f"/{host}/", f"/{each}/", 1) + f"/p2p/{peer_id}"] = None
    return list(full)


def is_address(bare: str) -> bool:
    """True for ``/ip4/…/tcp/…`` and ``/ip6/…/tcp/…`` with a real port, and nothing after it."""
    parts = bare.split("/")
    if len(parts) != 5 or parts[0] or parts[1] not in ("ip4", "ip6") or parts[3] != "tcp" or parts[4] in ("", "0"):
        return False
    try:
        Multiaddr(bare)
    except (ValueError, MultiaddrError):
        return False
    return True


def dialable(addresses: Iterable[str], own: Iterable[str]) -> list[str]:
    """Those of a peer's claimed addresses that are worth and safe dialling, without the peer id, at most eight.

    Numbers only, since a name could lead anywhere by the time it is looked up. Nothing of our own; loopback only
    when we are on loopback ourselves; private addresses only when we have one of the same block, and no service
    port of a private host: a claim must not make this node knock on doors of its machine or of its network.
    """
    ours = {address.partition("/p2p/")[0] for address in own}
    own_hosts = [ip for ip in (_ip_of(address) for address in ours) if ip is not None]
    chosen: dict[str, None] = {}
    for address in itertools.islice(addresses, MAX_READ):
        if is_circuit(address):
            if len(address) <= MAX_LENGTH and (through := _through_relay(address, own_hosts)):
                chosen[through] = None
            continue
        bare = address.partition("/p2p/")[0]
        if len(address) <= MAX_LENGTH and bare not in ours and is_address(bare) and _is_safe(bare, own_hosts):
            chosen[bare] = None
    return list(chosen)[:MAX_TRIED]


def _through_relay(address: str, own_hosts: Sequence[IPv4Address | IPv6Address]) -> str:
    """A claimed circuit address without the peer's own id, if the relay in it may be dialled; empty otherwise."""
    relay = relay_of(address)
    if relay is None or not is_address(relay[1]) or not _is_safe(relay[1], own_hosts):
        return ""
    return circuit_address(relay[1], relay[0])


def _ip_of(address: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ipaddress.ip_address(host_of(address))
    except ValueError:
        return None
    # ::ffff:127.0.0.1 leads to 127.0.0.1
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def _is_safe(bare: str, own_hosts: Sequence[IPv4Address | IPv6Address]) -> bool:
    ip = _ip_of(bare)
    if ip is None or ip.is_unspecified or ip.is_multicast or ip.is_link_local or ip == _BROADCAST:
        return False
    if ip.is_loopback:
        block = bool(own_hosts) and all(own.is_loopback for own in own_hosts)
        return block and int(bare.split("/")[4]) >= FIRST_FREE_PORT
    for network in _PRIVATE:
        if ip in network:
            return any(own in network for own in own_hosts) and int(bare.split("/")[4]) >= FIRST_FREE_PORT
    return True
