"""libp2p 0.8.1: a peer that froze, or whose path was cut, is never noticed (a yamux ping without answer is ignored).

Mended by a ping that counts: whoever heard nothing for ``PING_INTERVAL_S`` asks, and a connection whose ping stays
unanswered is closed, at most 5 s after the peer fell silent. Who dialled asks first, and the question shows the other
side that all is well. Twelve bytes each way; the library's own health monitor opens a stream per probe and probes one
peer after the other.
"""

from __future__ import annotations

import struct

import structlog
import trio
from libp2p.stream_muxer.yamux import yamux

from peernode.mesh.hardening.yamux_writes import abandon

log = structlog.get_logger(__name__)

# Nearly half the time between two renewals: few pings, and time enough for the answer.
PING_INTERVAL_S = 2.4
# Who was dialled waits a little longer, so that not both ask.
YIELD_S = 0.25
PING_DEADLINE_S = 1.7
# Every side knows the round-trip time, and not from long ago.
FRESH_S = 30.0
# If this process itself was stalled, the answer may lie unread when the deadline fires: one more look.
GRACE_S = 0.5


async def _answered(event: trio.Event, deadline_s: float) -> bool:
    with trio.move_on_after(deadline_s):
        await event.wait()
    return event.is_set()


class _Ear:
    """When anything came last. Listens by standing in for the connection's ``read``."""

    def __init__(self, connection: yamux.Yamux) -> None:
        self.heard_at = trio.current_time()
        self._read = connection.secured_conn.read
        connection.secured_conn.read = self._listen

    async def _listen(self, n: int | None = None) -> bytes:
        data = await self._read(n)
        self.heard_at = trio.current_time()
        return data


async def _keep_alive(self: yamux.Yamux) -> None:
    ear = _Ear(self)
    patience_s = PING_INTERVAL_S if self.is_initiator_value else PING_INTERVAL_S + YIELD_S
    while not self.event_shutting_down.is_set():
        if not await _ping(self):
            return
        asked_at = trio.current_time()
        while not self.event_shutting_down.is_set():
            due = min(ear.heard_at + patience_s, asked_at + FRESH_S)
            if due <= trio.current_time():
                break
            with trio.CancelScope(deadline=due):
                await self.event_shutting_down.wait()


async def _ping(self: yamux.Yamux) -> bool:
    """Ask once; False when the connection is lost, or was closed here because no answer came."""
    self._ping_id = (self._ping_id + 1) & 0xFFFFFFFF
    self._ping_event = answered = trio.Event()
    header = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_PING, yamux.FLAG_SYN, 0, self._ping_id)
    try:
        await self._write_frame(header)
    except Exception as error:  # noqa: BLE001 - whatever broke the socket, the reading task reports the loss
        log.debug("ping_write_failed", peer=str(self.peer_id), error=repr(error))
        return False
    self._ping_sent_time = trio.current_time()
    if await _answered(answered, PING_DEADLINE_S) or await _answered(answered, GRACE_S):
        return True
    if not self.event_shutting_down.is_set():
        await abandon(self, "no answer to ping")
    return False


def mend() -> None:
    """Notice a silent peer within five seconds, and keep its round-trip time fresh."""
    yamux.Yamux._measure_rtt_loop = _keep_alive
