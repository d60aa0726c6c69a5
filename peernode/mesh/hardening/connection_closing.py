"""libp2p 0.8.1: a connection marks itself closed before it closes its socket; a cancel in between leaves it open.

That is what a cancelled host does to its first connection: nobody here answers on it any more, and the peer holds on to
a dead connection. Mended by shielding the closing, within a deadline.
"""

from __future__ import annotations

import structlog
import trio
from libp2p.network.connection.swarm_connection import SwarmConn

log = structlog.get_logger(__name__)

CLOSE_DEADLINE_S = 5.0


def mend() -> None:
    """Make the closing of a connection complete even when its caller is cancelled."""
    close = SwarmConn.close

    async def shielded_close(self: SwarmConn) -> None:
        with trio.CancelScope(deadline=trio.current_time() + CLOSE_DEADLINE_S, shield=True) as scope:
            await close(self)
        if scope.cancelled_caught:
            log.info("connection_close_cut_short", peer=str(self.muxed_conn.peer_id))

    SwarmConn.close = shielded_close
