"""libp2p 0.8.1: a peer that froze, or whose path was cut, is never noticed (a yamux ping without answer is ignored).

Mended by a ping that counts: every ``PING_INTERVAL_S``, and a connection whose ping stays unanswered is closed, at most
5 s after the peer fell silent. Twelve bytes each way; the library's own health monitor opens a stream per probe and
probes one peer after the other.
"""

from __future__ import annotations

import struct

import structlog
import trio
from libp2p.stream_muxer.yamux import yamux

from peernode.mesh.hardening.yamux_writes import abandon

log = structlog.get_logger(__name__)

PING_INTERVAL_S = 1.5
PING_DEADLINE_S = 3.0
# If this process itself was stalled, the answer may lie unread when the deadline fires: one more look.
GRACE_S = 0.5


async def _answered(event: trio.Event, deadline_s: float) -> bool:
    with trio.move_on_after(deadline_s):
        await event.wait()
    return event.is_set()


async def _keep_alive(self: yamux.Yamux) -> None:
    while not self.event_shutting_down.is_set():
        self._ping_id = (self._ping_id + 1) & 0xFFFFFFFF
        self._ping_event = answered = trio.Event()
        header = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_PING, yamux.FLAG_SYN, 0, self._ping_id)
        try:
            await self._write_frame(header)
        except Exception as error:  # noqa: BLE001 - whatever broke the socket, the reading task reports the loss
            log.debug("ping_write_failed", peer=str(self.peer_id), error=repr(error))
            return
        self._ping_sent_time = trio.current_time()
        if not await _answered(answered, PING_DEADLINE_S) and not await _answered(answered, GRACE_S):
            if not self.event_shutting_down.is_set():
                await abandon(self, "no answer to ping")
            return
        with trio.move_on_after(PING_INTERVAL_S):
            await self.event_shutting_down.wait()


def mend() -> None:
    """Notice a silent peer within five seconds, and keep its round-trip time fresh."""
    yamux.Yamux._measure_rtt_loop = _keep_alive
