"""libp2p 0.8.1: a reset overtakes data that arrived before it: the last word before the reset is never read.

A peer that says why, and then resets, is not heard by who reads a moment late. Mended by treating a reset as the end of
what can still arrive, as the library already does with a clean end: what is there is read first, then comes the reset.
"""

from __future__ import annotations

from libp2p.stream_muxer.yamux import yamux


def mend() -> None:
    """Let data that arrived before a reset be read before it."""
    finalize = yamux.Yamux._finalize_stream_locked

    def finalize_in_order(self: yamux.Yamux, stream: yamux.YamuxStream, *, fully_closed: bool) -> None:
        if stream.reset_received:
            stream.recv_closed = True
        finalize(self, stream, fully_closed=fully_closed)

    yamux.Yamux._finalize_stream_locked = finalize_in_order
