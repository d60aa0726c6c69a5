"""libp2p 0.8.1 bounds streams only in sum: one peer may hold all 10 000, and open them as fast as it likes.

Mended where a connection hands over an accepted stream: one too many is reset, and counted against the peer.
"""

from __future__ import annotations

import structlog
import trio
from libp2p.abc import IMuxedStream
from libp2p.network.connection.swarm_connection import SwarmConn

from peernode.mesh.hardening.peer_gate import guard_of

log = structlog.get_logger(__name__)

RESET_DEADLINE_S = 2.0


def mend() -> None:
    """Bound the streams that a peer has open, and how fast it opens them."""
    handle = SwarmConn._handle_muxed_stream

    async def bounded(self: SwarmConn, muxed_stream: IMuxedStream) -> None:
        guard, peer_id = guard_of(self.swarm), str(self.muxed_conn.peer_id)
        if not guard.open_stream(peer_id):
            with trio.move_on_after(RESET_DEADLINE_S):
                try:
                    await muxed_stream.reset()
                except Exception as error:  # noqa: BLE001 - the connection is gone, and the stream with it
                    log.debug("refused_stream_reset_failed", peer=peer_id, error=repr(error))
            return
        try:
            await handle(self, muxed_stream)
        finally:
            guard.end_stream(peer_id)

    SwarmConn._handle_muxed_stream = bounded
