"""Frames over a libp2p stream: a 4-byte big-endian length, then the payload; one write per frame.

Owns the pump that reads ahead of the consumer within bounds, so that deadlines cut a wait of ours and never a read of
the library. Leaves the meaning of frames to the protocols; a clean end and a reset look alike, so each protocol needs
its own last frame.
"""

from __future__ import annotations

import struct

import structlog
import trio
from libp2p.network.stream.exceptions import StreamEOF

from peernode.mesh.errors import DialFailed, FrameTimeout, FrameTooLarge, MeshError, StreamClosed
from peernode.mesh.hardening.quick_locks import QuickLock
from peernode.mesh.optimistic_opening import ByteStream
from peernode.mesh.traffic import Flow

log = structlog.get_logger(__name__)

MAX_FRAME_BYTES = 1 << 20
SEND_DEADLINE_S = 30.0
# A large frame has so much longer to leave.
SLOWEST_BYTES_PER_S = 1 << 20
READ_AHEAD_FRAMES = 8
READ_BYTES = 65536
ABORT_DEADLINE_S = 2.0
LINGER_S = 5.0
_LENGTH = struct.Struct(">I")


class FrameStream:
    """A conversation of frames with one authenticated peer.

    ``nursery`` owns the reading task and must outlive the stream. ``peer_id`` is proven by the Noise handshake.
    The first frame of either side may have ``opening_bytes`` if that is more than ``max_frame_bytes``. ``flow`` counts
    what goes over it.
    """

    def __init__(
        self,
        stream: ByteStream,
        nursery: trio.Nursery,
        *,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        opening_bytes: int = 0,
        protocol: str = "",
        flow: Flow | None = None,
    ) -> None:
        self.peer_id = str(stream.muxed_conn.peer_id)
        self.protocol = protocol
        self._flow = flow or Flow()
        self._stream = stream
        self._nursery = nursery
        self._max = max_frame_bytes
        self._most_out = self._most_in = max(opening_bytes, max_frame_bytes)
        self._write_lock = QuickLock()
        self._end: MeshError | None = None
        self._pumped = trio.Event()
        self._closed = False
        self._into: trio.MemorySendChannel[bytes]
        self._frames: trio.MemoryReceiveChannel[bytes]
        self._into, self._frames = trio.open_memory_channel[bytes](READ_AHEAD_FRAMES)
        nursery.start_soon(self._pump)
        self._flow.open += 1

    async def receive(self, deadline_s: float) -> bytes:
        """The next frame.

        Raises ``FrameTimeout`` after ``deadline_s`` seconds (the stream stays usable), ``StreamClosed`` when the peer
        ended or reset the stream, ``FrameTooLarge`` when it announced a frame over the limit, ``DialFailed`` when a
        stream that was opened optimistically is not taken.
        """
        try:
            with trio.move_on_after(deadline_s):
                return await self._frames.receive()
        except trio.EndOfChannel:
            raise self._ended() from None
        except trio.ClosedResourceError:
            raise StreamClosed("The stream was closed on this side.") from None
        raise FrameTimeout("The peer sent nothing in time.", cause=f"no frame within {deadline_s:g} s")

    async def send(self, payload: bytes, *, deadline_s: float = SEND_DEADLINE_S) -> None:
        """Send one frame.

        Raises ``FrameTooLarge`` before anything is written, ``StreamClosed`` when the stream is gone, ``FrameTimeout``
        when the peer did not take it in time. A frame cut short, also by a cancel, ends the stream.
        """
        if len(payload) > self._most_out:
            raise FrameTooLarge("The frame is too large to send.", cause=f"{len(payload)} of {self._most_out} bytes")
        if self._closed:
            raise StreamClosed("The stream was closed on this side.")
        whole = False
        self._most_out = self._max
        deadline_s += len(payload) / SLOWEST_BYTES_PER_S
        try:
            with trio.move_on_after(deadline_s) as scope:
                async with self._write_lock:
                    await self._stream.write(_LENGTH.pack(len(payload)) + payload)
                    self._flow.sent(_LENGTH.size + len(payload))
                whole = True
        except Exception as error:
            raise StreamClosed("The peer closed the stream.", cause=repr(error)) from error
        finally:
            if not whole:
                await self.abort()
        if scope.cancelled_caught and not whole:
            raise FrameTimeout("The peer did not take the frame in time.", cause=f"deadline {deadline_s:g} s")

    async def close(self) -> None:
        """End the stream after what was sent: the peer reads all of it, then the end. Does not wait for the peer."""
        if self._closed:
            return
        self._closed = True
        self._frames.close()
        try:
            with trio.move_on_after(ABORT_DEADLINE_S):
                await self._stream.close_write()
        except Exception as error:  # noqa: BLE001 - a stream that cannot be closed is gone already
            log.debug("stream_close_failed", peer=self.peer_id, error=repr(error))
        self._nursery.start_soon(self._linger)

    async def abort(self) -> None:
        """Reset the stream at once, dropping what was not delivered. Safe to call at any time, any number of times."""
        self._closed = True
        self._frames.close()
        await self._reset()

    async def _reset(self) -> None:
        with trio.CancelScope(deadline=trio.current_time() + ABORT_DEADLINE_S, shield=True):
            try:
                await self._stream.reset()
            except Exception as error:  # noqa: BLE001 - nothing is left to save of this stream
                log.debug("stream_reset_failed", peer=self.peer_id, error=repr(error))

    async def _linger(self) -> None:
        # A reset now could overtake what was just sent; give the peer time to end its side first.
        with trio.move_on_after(LINGER_S):
            await self._pumped.wait()
        await self._reset()

    @property
    def broke_bounds(self) -> bool:
        """True once the peer has announced a frame over the limit."""
        return isinstance(self._end, FrameTooLarge)

    def _ended(self) -> MeshError:
        end = self._end
        if isinstance(end, FrameTooLarge):
            return FrameTooLarge(end.sentence, cause=end.cause)
        if isinstance(end, DialFailed):
            return DialFailed(end.sentence, cause=end.cause)
        return StreamClosed("The peer closed the stream.", cause=end.cause if end else "")

    async def _pump(self) -> None:
        buffered = bytearray()
        try:
            while True:
                await self._deliver(buffered)
                buffered += await self._stream.read(READ_BYTES)
        except MeshError as error:
            self._end = error
            await self._reset()
        except StreamEOF:
            self._end = StreamClosed("", cause="in the middle of a frame" if buffered else "")
        except Exception as error:  # noqa: BLE001 - whatever the library raises, the stream has ended
            self._end = StreamClosed("", cause=repr(error))
        finally:
            self._flow.open -= 1
            self._into.close()  # only now: the consumer that this wakes asks for the reason
            self._pumped.set()

    async def _deliver(self, buffered: bytearray) -> None:
        while len(buffered) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffered)
            if length > self._most_in:
                raise FrameTooLarge(
                    "The peer announced a frame over the limit.", cause=f"{length} of {self._most_in} bytes"
                )
            if len(buffered) < _LENGTH.size + length:
                return
            frame = bytes(buffered[_LENGTH.size : _LENGTH.size + length])
            del buffered[: _LENGTH.size + length]
            self._most_in = self._max
            self._flow.received(_LENGTH.size + length)
            try:
                await self._hand_on(frame)
            except trio.BrokenResourceError:
                continue  # the consumer has left; read on for the end of the stream

    async def _hand_on(self, frame: bytes) -> None:
        # While there is room, without a round of the scheduler: the next read waits anyway.
        try:
            self._into.send_nowait(frame)
        except trio.WouldBlock:
            await self._into.send(frame)
