"""libp2p 0.8.1 sends the opening of a stream, and the word that it was taken, as messages of their own.

Each is a message to encrypt, a call of the system, and a process that is woken for twelve bytes, while both sides are
about to send the first data of the stream anyway: a negotiation. Mended by letting these words wait for the first frame
of their stream and leave right in front of it. Source: yamux specification (the order of frames stays what it was).
"""

from __future__ import annotations

import struct

from libp2p.stream_muxer.yamux import yamux

_ALONE = (yamux.FLAG_SYN, yamux.FLAG_ACK)


def _waiting(conn: yamux.Yamux) -> dict[int, bytes]:
    """The words that wait, by stream."""
    waiting: dict[int, bytes] = conn.__dict__.setdefault("_riding", {})
    return waiting


def mend() -> None:
    """Let the opening of a stream ride with its first frame, on both sides."""
    write = yamux.Yamux._write_frame
    finalize = yamux.Yamux._finalize_stream_locked

    async def riding(self: yamux.Yamux, data: bytes) -> None:
        _, kind, flags, stream_id, length = struct.unpack_from(yamux.YAMUX_HEADER_FORMAT, data)
        waiting = _waiting(self)
        if kind == yamux.TYPE_WINDOW_UPDATE and flags in _ALONE and length == 0 and stream_id in self.streams:
            waiting[stream_id] = data
            return
        await write(self, waiting.pop(stream_id, b"") + data if waiting else data)

    def finalize_and_forget(self: yamux.Yamux, stream: yamux.YamuxStream, *, fully_closed: bool) -> None:
        finalize(self, stream, fully_closed=fully_closed)
        if stream.stream_id not in self.streams:
            _waiting(self).pop(stream.stream_id, None)

    yamux.Yamux._write_frame = riding
    yamux.Yamux._finalize_stream_locked = finalize_and_forget
