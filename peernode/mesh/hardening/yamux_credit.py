"""libp2p 0.8.1: a read takes the data, then sends a window update; a cancel in between loses data and connection.

It also sends one update per read, which costs more than the data of a small frame. Mended with the classic credit rule
(one update per half window), written under a shield, so that a read is safe to cancel at any moment.
"""

from __future__ import annotations

import trio
from libp2p.stream_muxer.yamux import yamux


async def _return_credit(self: yamux.YamuxStream, *, bytes_read: int = 0) -> None:
    self._pending_recv_release += bytes_read
    credit = self._pending_recv_release
    if credit >= yamux.DEFAULT_WINDOW_SIZE // 2:
        self._pending_recv_release = 0
        self.recv_window += credit
        with trio.CancelScope(shield=True):  # bounded by the write deadline of yamux_writes
            await self.send_window_update(credit)


def mend() -> None:
    """Return receive credit by half windows, and never lose data to a cancel."""
    yamux.YamuxStream._auto_tune_and_send_window_update = _return_credit
