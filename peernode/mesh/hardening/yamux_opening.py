"""libp2p 0.8.1: cancelling the opening of a stream leaks its entry and one of 256 opening slots; then opening hangs.

Mended by shielding everything after the slot was taken: it waits only for frame writes, which are bounded in time. A
caller that was cancelled meanwhile gets its cancellation at its next step, and the stream is reset there.
"""

from __future__ import annotations

import struct

import trio
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.net_stream import NetStream
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux import yamux

RESET_DEADLINE_S = 2.0


async def _open_stream(self: yamux.Yamux) -> yamux.YamuxStream:
    await self.stream_backlog_semaphore.acquire()
    with trio.CancelScope(shield=True):
        async with self.streams_lock:
            if self.event_shutting_down.is_set():
                self.stream_backlog_semaphore.release()
                raise MuxedStreamError("connection is shutting down")
            stream = yamux.YamuxStream(self.next_stream_id, self, True)
            self.next_stream_id += 2
            stream._owns_backlog_slot = True
            self.streams[stream.stream_id] = stream
            self.stream_buffers[stream.stream_id] = bytearray()
            self.stream_events[stream.stream_id] = trio.Event()
        syn = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_WINDOW_UPDATE, yamux.FLAG_SYN, stream.stream_id, 0)
        try:
            await self._write_frame(syn)
        except Exception as error:
            await self._finalize_stream(stream, fully_closed=True)
            raise MuxedStreamError(f"could not open a stream: {error!r}") from error
    return stream


async def _new_stream(self: SwarmConn) -> NetStream:
    muxed = await self.muxed_conn.open_stream()
    try:
        await trio.lowlevel.checkpoint_if_cancelled()
        return await self._add_stream(muxed)
    except BaseException:
        with trio.CancelScope(deadline=trio.current_time() + RESET_DEADLINE_S, shield=True):
            await muxed.reset()
        raise


def mend() -> None:
    """Make the opening of a stream safe to cancel."""
    yamux.Yamux.open_stream = _open_stream
    SwarmConn.new_stream = _new_stream
