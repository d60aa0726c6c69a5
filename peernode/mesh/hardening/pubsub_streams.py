"""libp2p 0.8.1: of two connections to a peer the one that carries gossip ends, and gossip with that peer ends with it.

Pubsub looks only whether *some* connection is left. Two connections are common: both sides dialled, a peer tested
whether it can dial this node, a direct connection replaced a relayed one. Mended by opening the stream anew on what is
left.
"""

from __future__ import annotations

from libp2p.abc import INetStream
from libp2p.pubsub.pubsub import Pubsub


def _is_over(stream: INetStream) -> bool:
    connection = getattr(stream, "swarm_conn", None)
    return connection is None or connection.is_closed or stream.muxed_conn.is_closed


def mend() -> None:
    """Keep gossip with a peer for as long as any connection to it is open."""

    async def handle_dead_peer_queue(self: Pubsub) -> None:
        async with self.dead_peer_receive_channel:
            self.event_handle_dead_peer_queue_started.set()
            async for peer_id in self.dead_peer_receive_channel:
                stream = self.peers.get(peer_id)
                if self._peer_is_connected(peer_id) and (stream is None or not _is_over(stream)):
                    continue
                self._handle_dead_peer(peer_id)  # which opens another stream to a peer that is still connected

    Pubsub.handle_dead_peer_queue = handle_dead_peer_queue
