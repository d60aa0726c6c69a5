"""libp2p 0.8.1: who waits to read from a stream is not woken when this side resets it, or when it ends both ways.

The entry of the stream is dropped together with the event that the reader waits for, so that its task stays for ever:
one for each job. Mended by setting the event of a stream that is dropped, and by leaving no event behind.
"""

from __future__ import annotations

from libp2p.stream_muxer.yamux import yamux


def mend() -> None:
    """Wake the readers of streams that are gone."""
    finalize = yamux.Yamux._finalize_stream_locked
    read = yamux.Yamux.read_stream

    def finalize_and_wake(self: yamux.Yamux, stream: yamux.YamuxStream, *, fully_closed: bool) -> None:
        event = self.stream_events.get(stream.stream_id)
        finalize(self, stream, fully_closed=fully_closed)
        if event is not None and stream.stream_id not in self.streams:
            event.set()

    async def read_and_forget(self: yamux.Yamux, stream_id: int, n: int = -1) -> bytes:
        try:
            data: bytes = await read(self, stream_id, n)
        finally:
            if stream_id not in self.streams:  # a woken reader has put a new event there
                self.stream_events.pop(stream_id, None)
        return data

    yamux.Yamux._finalize_stream_locked = finalize_and_wake
    yamux.Yamux.read_stream = read_and_forget
