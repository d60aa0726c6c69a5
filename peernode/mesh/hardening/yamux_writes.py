"""libp2p 0.8.1: a cancelled write leaves half a frame on the wire, and 5 s without window kills the stream.

The connection is then wedged but still listed. Mended by shielding the write of a frame; a socket that takes none of it
for ``WRITE_DEADLINE_S`` is closed instead. A reader that pauses is given ``WINDOW_STALL_S`` before its stream fails.
"""

from __future__ import annotations

import struct

import structlog
import trio
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux import yamux

log = structlog.get_logger(__name__)

WRITE_DEADLINE_S = 5.0
WINDOW_STALL_S = 120.0
WINDOW_POLL_MAX_S = 0.005
FRAME_PAYLOAD = yamux.MAX_MESSAGE_SIZE - yamux.HEADER_SIZE
TOO_SLOW = "write deadline passed; connection closed"


async def abandon(conn: yamux.Yamux, reason: str) -> None:
    """Close the socket under a muxed connection; its reading task then cleans up and reports the loss."""
    log.info("connection_abandoned", peer=str(conn.peer_id), reason=reason)
    conn.event_shutting_down.set()
    with trio.CancelScope(deadline=trio.current_time() + 1.0, shield=True):
        try:
            await conn.secured_conn.close()
        except Exception as error:  # noqa: BLE001 - already broken; the reading task finishes the job
            log.debug("abandoned_connection_close_failed", error=repr(error))


async def write_frames(self: yamux.Yamux, data: bytes) -> None:
    """Write whole frames to the socket, whatever becomes of the caller; ``MuxedStreamError`` if it takes too long."""
    async with self._write_lock:
        with trio.CancelScope(deadline=trio.current_time() + WRITE_DEADLINE_S, shield=True) as scope:
            await self.secured_conn.write(data)
    if scope.cancelled_caught:
        await abandon(self, "write deadline")
        raise MuxedStreamError(TOO_SLOW)


async def _wait_for_window(stream: yamux.YamuxStream) -> None:
    pause = 0.0005
    with trio.move_on_after(WINDOW_STALL_S):
        while stream.send_window <= 0 and not (stream.closed or stream.send_closed):
            # The library keeps no event for a window update; polling is bounded by the stall deadline.
            await trio.sleep(pause)
            pause = min(pause * 2, WINDOW_POLL_MAX_S)


async def _write(self: yamux.YamuxStream, data: bytes) -> None:
    view = memoryview(data)
    sent = 0
    while sent < len(view):
        if self.send_window <= 0:
            await _wait_for_window(self)
        if self.closed or self.send_closed:
            raise MuxedStreamError("stream is closed for sending")
        size = min(self.send_window, FRAME_PAYLOAD, len(view) - sent)
        if size <= 0:
            raise MuxedStreamError("the reader gave no window for too long")
        self.send_window -= size
        header = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_DATA, 0, self.stream_id, size)
        await self.conn._write_frame(header + view[sent : sent + size])
        sent += size


def mend() -> None:
    """Make writes safe to cancel, bounded in time, and patient with a paused reader."""
    yamux.Yamux._write_frame = write_frames
    yamux.YamuxStream.write = _write
