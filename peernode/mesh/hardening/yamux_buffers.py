"""libp2p 0.8.1: a peer may push past its window, or open streams without end; the library logs it and buffers all.

Mended by bounding each stream's buffer by the window that was granted, the buffers of a connection in sum, and the
number of its streams. A peer that passes a bound has broken the protocol: its connection is closed.
"""

from __future__ import annotations

import structlog
import trio
from libp2p.stream_muxer.yamux import yamux

log = structlog.get_logger(__name__)

STREAM_BYTES = yamux.DEFAULT_WINDOW_SIZE
CONNECTION_BYTES = 64 * yamux.DEFAULT_WINDOW_SIZE
CONNECTION_STREAMS = 512


class BoundExceeded(trio.TooSlowError):
    """The peer sent more than it was allowed.

    A ``TooSlowError`` because that is the one exception on which the library's frame loop closes the connection
    instead of carrying on.
    """


class StreamBuffer(bytearray):
    """Bytes received on one stream and not read yet."""

    connection: ConnectionBuffers

    def extend(self, data: bytes) -> None:  # type: ignore[override]  # the library extends it with bytes only
        """Append what arrived; raises ``BoundExceeded`` rather than grow past the window."""
        if len(self) + len(data) > STREAM_BYTES:
            log.info("peer_exceeded_bound", bound="stream window", limit_bytes=STREAM_BYTES)
            raise BoundExceeded
        self.connection.check_room(len(data))
        super().extend(data)


class ConnectionBuffers(dict[int, bytearray]):
    """The receive buffers of one connection by stream id."""

    def __setitem__(self, stream_id: int, buffer: bytearray) -> None:
        """Add a stream's buffer; raises ``BoundExceeded`` at the limit of streams."""
        if len(self) >= CONNECTION_STREAMS:
            log.info("peer_exceeded_bound", bound="streams", limit=CONNECTION_STREAMS)
            raise BoundExceeded
        bounded = StreamBuffer(buffer)
        bounded.connection = self
        super().__setitem__(stream_id, bounded)

    def check_room(self, size: int) -> None:
        """Raise ``BoundExceeded`` if ``size`` more bytes would pass the bound of the connection."""
        if len(self) * STREAM_BYTES > CONNECTION_BYTES and sum(map(len, self.values())) + size > CONNECTION_BYTES:
            log.info("peer_exceeded_bound", bound="connection", limit_bytes=CONNECTION_BYTES)
            raise BoundExceeded


def mend() -> None:
    """Bound what one peer can make this node hold in memory."""
    original = yamux.Yamux.__init__

    def bounded_init(self: yamux.Yamux, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)
        self.stream_buffers = ConnectionBuffers()

    yamux.Yamux.__init__ = bounded_init
    yamux.MAX_WINDOW_SIZE = yamux.DEFAULT_WINDOW_SIZE  # a longer DATA frame is refused before its body is read
