"""Circuit addresses: ``/ip4/…/tcp/…/p2p/RELAY/p2p-circuit``, the way to a peer through a relay.

Pure. The peer's own ``/p2p/…`` may follow, as in adverts and ``--join``.
"""

from __future__ import annotations

from peernode.wire.errors import BadPeerId
from peernode.wire.identity import public_key_of

MARK = "/p2p-circuit"


def is_circuit(address: str) -> bool:
    """True for an address that leads through a relay."""
    return MARK in address


def circuit_address(relay_address: str, relay: str) -> str:
    """The address of whoever reserved at ``relay``, which listens at ``relay_address``; without their own id."""
    return f"{relay_address.partition('/p2p/')[0]}/p2p/{relay}{MARK}"


def relay_of(address: str) -> tuple[str, str] | None:
    """(relay's peer id, relay's address without it) of a circuit address; None when it is not a sound one."""
    before, mark, after = address.partition(MARK)
    transport, separator, relay = before.rpartition("/p2p/")
    if not mark or not separator or MARK in after or "/p2p/" in transport or not _is_tcp(transport):
        return None
    if after and (not after.startswith("/p2p/") or "/" in after.removeprefix("/p2p/")):
        return None
    try:
        public_key_of(relay)
    except BadPeerId:
        return None
    return relay, transport


def _is_tcp(transport: str) -> bool:
    parts = transport.split("/")
    return len(parts) == 5 and parts[1] in ("ip4", "ip6", "dns", "dns4", "dns6") and parts[3] == "tcp"
