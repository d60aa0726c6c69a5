"""From relayed to direct: tries to replace each relayed connection, and lets the relay go once it is replaced.

Owns when to try, how often, and when the relayed connection is closed: not before the last conversation on it has
ended, so that no job is cut. Leaves the exchange to ``hole_punch``.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import structlog
import trio
from libp2p.abc import INetConn

from peernode.mesh.errors import MeshError
from peernode.mesh.nat.circuit_messages import DCUTR
from peernode.mesh.nat.hole_punch import HolePuncher

log = structlog.get_logger(__name__)

# After these pauses; then not again until the peer connects anew. A NAT remembers a vain SYN for about two minutes, and
# takes the next one for its repetition: who failed for that reason succeeds after the longest ones.
PAUSES_S = (0.3, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 150.0, 600.0)
# Streams that are opened again by themselves on another connection.
_HOUSEKEEPING = ("/peernode/sync/", "/peernode/ping/", "/peernode/reach/", "/meshsub/", "/ipfs/", DCUTR)
DRAIN_S = 600.0
DRAIN_LOOK_S = 0.25


class DirectPaths:
    """``dial_known`` dials the addresses at which the peer says it can be reached directly; it raises ``MeshError``."""

    def __init__(
        self, puncher: HolePuncher, *, dial_known: Callable[[str], Awaitable[None]], rng: random.Random
    ) -> None:
        self._puncher = puncher
        self._dial_known = dial_known
        self._rng = rng

    async def improve(self, connection: INetConn) -> None:
        """Tend one relayed connection until it is closed; to be called when it is new. Never raises for a peer."""
        peer = str(connection.muxed_conn.peer_id)
        async with trio.open_nursery() as nursery:
            # Who was called leads; the other side's dials arrive here as connections, too.
            if str(connection.direction) == "inbound":
                nursery.start_soon(self._try, peer, connection)
            nursery.start_soon(self._let_go, peer, connection)
            await connection.event_closed.wait()
            nursery.cancel_scope.cancel()

    async def _try(self, peer: str, connection: INetConn) -> None:
        for pause_s in PAUSES_S:
            # Two that called each other at once would otherwise lead at the same moments for ever.
            await trio.sleep(pause_s * self._rng.uniform(0.7, 1.5))
            for attempt in (self._dial_known, self._puncher.lead):
                if self._puncher.connected_directly(peer):
                    return
                try:
                    await attempt(peer)
                except MeshError as error:
                    log.debug("direct_path_failed", peer=peer, code=error.code, cause=error.cause)
        if not self._puncher.connected_directly(peer):
            log.info("stays_relayed", peer=peer)

    async def _let_go(self, peer: str, connection: INetConn) -> None:
        while not self._puncher.connected_directly(peer):
            await trio.sleep(DRAIN_LOOK_S)
        log.info("direct_path", peer=peer)
        until = trio.current_time() + DRAIN_S
        quiet = 0
        while trio.current_time() < until and quiet < 4:
            # A stream that was opened a moment ago may not have said yet what it is for.
            quiet = 0 if any(map(_matters, connection.get_streams())) else quiet + 1
            await trio.sleep(DRAIN_LOOK_S)
            if not self._puncher.connected_directly(peer):
                return await self._let_go(peer, connection)
        await connection.close()
        return None


def _matters(stream: object) -> bool:
    protocol = str(stream.get_protocol() or "")  # type: ignore[attr-defined]
    return not protocol.startswith(_HOUSEKEEPING)
