"""What an operator can decide about the mesh. Pure values; the node's configuration fills them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Switch = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """``allow_peers``: ids of the only peers to talk to, or none for all. ``shared_key``: 32 bytes that every node of a
    private network has, or none. ``mdns``: look for peers on the local network. ``dht``: look for them in a Kademlia
    table. ``relay``: carry others' connections ("auto": when peers can reach this node by themselves). ``nat``: find
    out whether peers can reach this node, and help if not. ``upnp``: ask the router for a port.
    """

    allow_peers: frozenset[str] = frozenset()
    shared_key: bytes | None = None
    mdns: bool = False
    dht: bool = False
    relay: Switch = "off"
    nat: Switch = "off"
    upnp: bool = False
    max_connections: int = 300
    max_connections_per_address: int = 32
    max_streams_per_peer: int = 128


DEFAULTS = MeshSettings()
