"""libp2p 0.8.1 takes a lock and writes six lines for a log, which nobody reads, for each read from a stream.

Also the word that something came is not taken back by who reads it without having waited: his next read goes round once
more for nothing. Mended by the same read without the rest; it looks and acts without giving way in between, so that it
needs no lock.
"""

from __future__ import annotations

import trio
from libp2p.network.stream.net_stream import NetStream, StreamState
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamReset
from libp2p.stream_muxer.yamux import yamux

_OVER = frozenset({StreamState.ERROR, StreamState.RESET})


async def _read_stream(self: yamux.Yamux, stream_id: int, n: int = -1) -> bytes:
    while True:
        stream, buffer = self.streams.get(stream_id), self.stream_buffers.get(stream_id)
        if stream is None:
            raise MuxedStreamEOF("Stream closed")
        if self.event_shutting_down.is_set():
            raise MuxedStreamEOF("Connection shut down")
        if buffer and (stream.recv_closed or not stream.reset_received):
            data = bytes(buffer if n is None or n < 0 else buffer[:n])
            del buffer[: len(data)]
            if stream.closed:
                self._finalize_stream_locked(stream, fully_closed=True)
            return data
        if stream.reset_received:
            raise MuxedStreamReset("Stream was reset")
        if buffer is None or stream.recv_closed:
            raise MuxedStreamEOF("Stream is closed for receiving")
        if stream.closed:
            raise MuxedStreamReset("Stream is reset or closed")
        await _news(self, stream_id)


async def _news(self: yamux.Yamux, stream_id: int) -> None:
    """Wait until something has changed about a stream since it was looked at just now."""
    event = self.stream_events.get(stream_id)
    if event is None:
        raise MuxedStreamEOF("Stream was removed")
    if event.is_set():  # said of what was looked at already
        event = self.stream_events[stream_id] = trio.Event()
    await event.wait()
    if self.stream_events.get(stream_id) is event:
        self.stream_events[stream_id] = trio.Event()


async def read_or_wake(stream: NetStream, n: int) -> bytes:
    """Up to ``n`` bytes; none when ``wake`` was called, or something else than data came. Raises as ``read`` does."""
    muxed: yamux.YamuxStream = stream.muxed_stream
    conn, stream_id = muxed.conn, muxed.stream_id
    quiet = not (muxed.recv_closed or muxed.reset_received or muxed.closed or conn.event_shutting_down.is_set())
    quiet = quiet and stream._state not in _OVER
    if quiet and not conn.stream_buffers.get(stream_id) and stream_id in conn.stream_events:
        await _news(conn, stream_id)
        if not conn.stream_buffers.get(stream_id):
            return b""
    data: bytes = await stream.read(n)
    return data


def wake(stream: NetStream) -> None:
    """Let who waits in ``read_or_wake`` for this stream return."""
    event = stream.muxed_stream.conn.stream_events.get(stream.muxed_stream.stream_id)
    if event is not None:
        event.set()


def mend() -> None:
    """Read from a stream with nothing around it."""
    yamux.Yamux.read_stream = _read_stream
