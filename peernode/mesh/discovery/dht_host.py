"""The host as libp2p's Kademlia sees it: the same streams, but our own dials, and a memory of its own.

Answers in the table are claims of strangers. libp2p 0.8.1 puts their addresses into the host's peerstore and dials
them from there, whatever they are; and a handler that waits for ever keeps one of its twelve places. So the table gets
a peerstore of its own (bounded by the library: 1000 peers), dials go through ``Connections.reach``, which takes only
what is safe to dial, and handlers get a deadline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore, PeerStoreError
from multiaddr import Multiaddr

INBOUND_DEADLINE_S = 30.0

Reach = Callable[[str, Sequence[str]], Awaitable[None]]
Handler = Callable[[INetStream], Awaitable[None]]


class DhtHost:
    """``reach`` connects to a peer, given addresses that somebody claims; ``own_addresses`` are told to others."""

    def __init__(self, host: BasicHost, *, reach: Reach, own_addresses: Callable[[], Sequence[str]]) -> None:
        self._host = host
        self._reach = reach
        self._own_addresses = own_addresses
        self._peerstore = PeerStore()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever else the library asks of a host
        return getattr(self._host, name)

    def get_peerstore(self) -> PeerStore:
        """The table's own memory of peers and addresses."""
        return self._peerstore

    def get_addrs(self) -> list[Multiaddr]:
        """The addresses to tell others; a wildcard would be of no use to them."""
        return [Multiaddr(address) for address in self._own_addresses()]

    async def new_stream(self, peer: ID, protocols: Sequence[TProtocol]) -> INetStream:
        """A stream to ``peer``, dialled by our own rules if need be. Raises whatever went wrong."""
        await self._reach(str(peer), self.told(peer))
        stream: INetStream = await self._host.new_stream(peer, protocols)
        return stream

    def told(self, peer: ID) -> list[str]:
        """What the table knows of a peer's addresses, without its id."""
        try:
            return [str(address).partition("/p2p/")[0] for address in self._peerstore.addrs(peer)]
        except PeerStoreError:
            return []

    def set_stream_handler(self, protocol: TProtocol, handler: Handler) -> None:
        """Let the table answer ``protocol``, each conversation for a while only."""

        async def bounded(stream: INetStream) -> None:
            with trio.move_on_after(INBOUND_DEADLINE_S) as scope:
                await handler(stream)
            if scope.cancelled_caught:
                await stream.reset()

        self._host.set_stream_handler(protocol, bounded)
