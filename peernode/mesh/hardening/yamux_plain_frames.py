"""libp2p 0.8.1 spends a fifth of a millisecond on each frame it receives: four reads, five locks, ten lines for a log.

Nearly all frames carry data or credit for a stream that exists, and nothing else. Mended by taking such frames right
out of what was received, as many as are there whole; all others, and those that are cut, go the library's way.
"""

from __future__ import annotations

import struct

import trio
from libp2p.stream_muxer.yamux import yamux

from peernode.mesh.hardening.yamux_pace import Pace

# So many frames are taken without letting others have their turn.
YIELD_EVERY = 32
_HEADER = struct.Struct(yamux.YAMUX_HEADER_FORMAT)


class Inbox:
    """What one connection has received and not taken yet: at most one message, and a frame that was cut."""

    def __init__(self, muxed: yamux.Yamux, pace: Pace | None) -> None:
        self._muxed = muxed
        self._pace = pace
        self._received = bytearray()
        self._at = 0
        self._taken = 0

    async def next_header(self) -> bytes:
        """The header of the next frame that is not plain; those before it are taken. Raises what reading raises."""
        while True:
            await self._until(yamux.HEADER_SIZE)
            version, kind, flags, stream_id, length = _HEADER.unpack_from(self._received, self._at)
            plain = version == 0 and flags == 0 and kind <= yamux.TYPE_WINDOW_UPDATE
            size = yamux.HEADER_SIZE + (length if kind == yamux.TYPE_DATA else 0)
            if not plain or size > len(self._received) - self._at:
                await self._keep_pace(yamux.HEADER_SIZE, frame=True)
                return await self._exactly(yamux.HEADER_SIZE)
            await self._keep_pace(size, frame=True)
            if kind == yamux.TYPE_DATA:
                self._deliver(stream_id, length)
            elif (stream := self._muxed.streams.get(stream_id)) is not None:
                stream.send_window += length
            self._at += size

    async def body(self, size: int) -> bytes:
        """The ``size`` bytes behind a header. Raises what reading raises."""
        await self._keep_pace(size, frame=False)
        return await self._exactly(size)

    async def _exactly(self, size: int) -> bytes:
        await self._until(size)
        end = self._at + size
        taken = bytes(self._received[self._at : end])
        self._at = end
        return taken

    async def _until(self, size: int) -> None:
        """Receive until ``size`` bytes are there."""
        while len(self._received) - self._at < size:
            del self._received[: self._at]
            self._at = 0
            self._received += await self._muxed.secured_conn.read()

    async def _keep_pace(self, size: int, *, frame: bool) -> None:
        """Wait until ``size`` bytes may be taken, the beginning of a frame or the rest of one."""
        self._taken += 1
        if self._pace is not None and (debt_s := self._pace.debt_s(trio.current_time(), size, frame=frame)) > 0:
            self._pace.tell(trio.current_time())
            await trio.sleep(debt_s)
        elif self._taken % YIELD_EVERY == 0:
            await trio.lowlevel.checkpoint()

    def _deliver(self, stream_id: int, length: int) -> None:
        muxed = self._muxed
        stream, buffer = muxed.streams.get(stream_id), muxed.stream_buffers.get(stream_id)
        if stream is None or buffer is None:
            return  # it was reset here; what was still on its way is nobody's
        start = self._at + yamux.HEADER_SIZE
        buffer.extend(self._received[start : start + length])
        stream.recv_window = max(0, stream.recv_window - length)
        muxed.stream_events[stream_id].set()
        if stream.closed:
            muxed._finalize_stream_locked(stream, fully_closed=True)


def mend() -> None:
    """Take plain frames as they come, and leave the others to the library."""
    original = yamux.Yamux.__init__

    def with_inbox(self: yamux.Yamux, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)
        self.secured_conn.__dict__["_inbox"] = Inbox(self, self.secured_conn.__dict__.get("_pace"))

    async def header(reader: object, n: int) -> bytes:
        inbox: Inbox = reader.__dict__["_inbox"]
        return await inbox.next_header()

    async def body(self: yamux.Yamux, length: int) -> bytes:
        inbox: Inbox = self.secured_conn.__dict__["_inbox"]
        with trio.fail_after(yamux._yamux_data_read_timeout()):
            return await inbox.body(length)

    yamux.Yamux.__init__ = with_inbox
    yamux.read_exactly = header  # the bodies have their own way below
    yamux.Yamux._read_data_body = body
