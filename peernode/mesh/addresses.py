"""Multiaddrs: which of ours others can dial, which of theirs we dial, and what a ``--join`` address says.

Pure but for the question which addresses the machine's interfaces have. Leaves dialling to ``connections``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError
from multiaddr.utils import get_network_addrs

from peernode.mesh.errors import BadJoinAddress
from peernode.wire.errors import BadPeerId
from peernode.wire.identity import public_key_of

MAX_TRIED = 8


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


def dialable(addresses: Sequence[str], own: Sequence[str]) -> list[str]:
    """Those of a peer's advertised addresses that are worth and safe dialling, without the peer id, at most eight.

    TCP only, nothing of our own, and loopback only when we are on loopback ourselves: an advert must not make this
    node knock on doors of its own machine.
    """
    ours = {address.partition("/p2p/")[0] for address in own}
    loopback_allowed = any(is_loopback(address) for address in ours)
    chosen: dict[str, None] = {}
    for address in addresses:
        bare = address.partition("/p2p/")[0]
        parts = bare.split("/")
        if len(parts) != 5 or parts[1] not in ("ip4", "ip6", "dns", "dns4", "dns6") or parts[3] != "tcp":
            continue
        if bare in ours or (is_loopback(bare) and not loopback_allowed):
            continue
        try:
            Multiaddr(bare)
        except (ValueError, MultiaddrError):
            continue  # a peer's nonsense; its other addresses may do
        chosen[bare] = None
    return list(chosen)[:MAX_TRIED]
