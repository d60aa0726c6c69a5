"""Peers that something unsigned told of: an answer on the local network, a record in the Kademlia table.

Owns these hints while they are fresh; the handshake proves who is there. Leaves whom to dial to ``connections``.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable

import trio

from peernode.mesh.addresses import MAX_READ
from peernode.wire.errors import BadPeerId
from peernode.wire.identity import public_key_of

MAX_PEERS = 256


class FoundPeers:
    """Addresses by peer id, each for as long as whoever found it said; the latest 256 peers. Runs on trio's clock."""

    def __init__(self) -> None:
        self._hints: OrderedDict[str, tuple[tuple[str, ...], float]] = OrderedDict()
        self._changed = trio.Event()

    def add(self, peer_id: str, addresses: Iterable[str], *, for_s: float) -> bool:
        """Remember a hint for ``for_s`` seconds; False when ``peer_id`` cannot be one. Addresses are only claims."""
        try:
            public_key_of(peer_id)
        except BadPeerId:
            return False
        told = tuple(itertools.islice(addresses, MAX_READ))
        is_news = self.addresses(peer_id) != told
        self._hints[peer_id] = (told, trio.current_time() + for_s)
        self._hints.move_to_end(peer_id)
        while len(self._hints) > MAX_PEERS:
            self._hints.popitem(last=False)
        if is_news:
            self._changed.set()
            self._changed = trio.Event()
        return True

    def addresses(self, peer_id: str) -> tuple[str, ...]:
        """What is claimed about a peer now; nothing when the hint is too old."""
        told, until_s = self._hints.get(peer_id, ((), 0.0))
        return told if trio.current_time() < until_s else ()

    def peers(self) -> list[str]:
        """All peers with a fresh hint."""
        return [peer_id for peer_id in self._hints if self.addresses(peer_id)]

    async def wait_change(self) -> None:
        """Return at the next hint that says something new."""
        await self._changed.wait()
