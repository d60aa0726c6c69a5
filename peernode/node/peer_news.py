"""A line in the log whenever what a peer offers changes, or the peer goes."""

from __future__ import annotations

import structlog

from peernode.mesh import Directory

log = structlog.get_logger(__name__)


async def tell_peer_news(directory: Directory, own: str) -> None:
    """Watch the directory until cancelled. ``models`` in a line are the ids the peer offers now."""
    offered: dict[str, tuple[str, ...]] = {}
    version = -1
    while True:
        snapshot = await directory.wait_change(version)
        version = snapshot.version
        now = {
            peer: tuple(card.id for card in signed.advert.models)
            for peer, signed in snapshot.adverts.items()
            if peer != own
        }
        for peer in now.keys() | offered.keys():
            if peer not in now:
                log.info("peer_gone", peer=peer)
            elif offered.get(peer) != now[peer]:
                log.info("peer_offers", peer=peer, models=list(now[peer]))
        offered = now
