"""libp2p 0.8.1: a peer may push past its window, or open streams without end; the library logs it and buffers all.

Mended by bounding each stream's buffer by the window that was granted, the buffers of a connection in sum, and the
number of its streams; all connections together by a total, of which each may have its share. A peer that passes a
bound has broken the protocol: its connection is closed, and that is counted against it.
"""

from __future__ import annotations

from typing import NoReturn

import trio
from libp2p.stream_muxer.yamux import yamux

from peernode.mesh.hardening.peer_gate import guard_of

STREAM_BYTES = yamux.DEFAULT_WINDOW_SIZE
CONNECTION_BYTES = 64 * yamux.DEFAULT_WINDOW_SIZE
TOTAL_BYTES = 4 * CONNECTION_BYTES
ALWAYS_FREE_BYTES = 4 * yamux.DEFAULT_WINDOW_SIZE
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
            self.connection.exceeded("stream window")
        self.connection.check_room(len(data))
        super().extend(data)


class ConnectionBuffers(dict[int, bytearray]):
    """The receive buffers of one connection by stream id."""

    def __init__(self, muxed: yamux.Yamux) -> None:
        super().__init__()
        self._muxed = muxed

    def __setitem__(self, stream_id: int, buffer: bytearray) -> None:
        """Add a stream's buffer; raises ``BoundExceeded`` at the limit of streams."""
        if len(self) >= CONNECTION_STREAMS:
            self.exceeded("streams")
        bounded = StreamBuffer(buffer)
        bounded.connection = self
        super().__setitem__(stream_id, bounded)

    def held(self) -> int:
        """The bytes in all buffers of this connection."""
        return sum(map(len, self.values()))

    def check_room(self, size: int) -> None:
        """Raise ``BoundExceeded`` if ``size`` more bytes would pass the bound of the connection, or its share of all.

        A connection with few streams cannot hold much; it is spared the sums.
        """
        if len(self) * STREAM_BYTES <= ALWAYS_FREE_BYTES:
            return
        held = self.held() + size
        if held <= ALWAYS_FREE_BYTES:
            return
        if held > CONNECTION_BYTES:
            self.exceeded("connection")
        everybody = [
            conn.muxed_conn.stream_buffers.held()
            for conns in self._muxed.swarm.connections.values()
            for conn in conns
            if isinstance(getattr(conn.muxed_conn, "stream_buffers", None), ConnectionBuffers)
        ]
        if sum(everybody) + size > TOTAL_BYTES and held > TOTAL_BYTES / len(everybody):
            self.exceeded("total")

    def exceeded(self, bound: str) -> NoReturn:
        """Tell the guard whose connection is about to be closed, and raise ``BoundExceeded``."""
        swarm = getattr(self._muxed, "swarm", None)
        if swarm is not None:
            address = self._muxed.get_remote_address()
            guard_of(swarm).bound_broken(str(self._muxed.peer_id), bound, address=address[0] if address else "")
        raise BoundExceeded


def mend() -> None:
    """Bound what one peer, and all together, can make this node hold in memory."""
    original = yamux.Yamux.__init__

    def bounded_init(self: yamux.Yamux, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)
        self.stream_buffers = ConnectionBuffers(self)

    yamux.Yamux.__init__ = bounded_init
    yamux.MAX_WINDOW_SIZE = yamux.DEFAULT_WINDOW_SIZE  # a longer DATA frame is refused before its body is read
