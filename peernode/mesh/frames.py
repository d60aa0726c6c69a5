"""Frames over a libp2p stream: a 4-byte big-endian length, then the payload; one write per frame.

Reads no further than the consumer: what it does not take stays within the window of its stream, and holds the peer
back. A deadline may cut a read, because the reads of the hardened library lose nothing. Leaves the meaning of frames to
the protocols; a clean end and a reset look alike, so each protocol needs its own last frame.
"""

from __future__ import annotations

import struct

import structlog
import trio
from libp2p.network.stream.exceptions import StreamEOF

from peernode.mesh.deadline_timer import DeadlineTimer
from peernode.mesh.errors import DialFailed, FrameTimeout, FrameTooLarge, MeshError, StreamClosed
from peernode.mesh.hardening.quick_locks import YIELD_EVERY, QuickLock
from peernode.mesh.hardening.yamux_outbox import write_now
from peernode.mesh.hardening.yamux_reads import read_or_wake, wake
from peernode.mesh.optimistic_opening import ByteStream, below_all
from peernode.mesh.traffic import Flow

log = structlog.get_logger(__name__)

MAX_FRAME_BYTES = 1 << 20
SEND_DEADLINE_S = 30.0
# A large frame has so much longer to leave.
SLOWEST_BYTES_PER_S = 1 << 20
READ_BYTES = 65536
ABORT_DEADLINE_S = 2.0
LINGER_S = 5.0
_LENGTH = struct.Struct(">I")


class FrameStream:
    """A conversation of frames with one authenticated peer.

    ``nursery`` owns what is left to do after ``close``, and must outlive it. ``peer_id`` is proven by the handshake.
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
        self._write_lock, self._read_lock = QuickLock(), QuickLock()
        self._read = bytearray()
        self._receiving: trio.CancelScope | None = None
        self._end: MeshError | None = None
        self._closed = self._counted_out = False
        self._took_at_hand = 0
        self._timer = DeadlineTimer(nursery, self._wake)
        self._flow.open += 1

    async def receive(self, deadline_s: float) -> bytes:
        """The next frame.

        Raises ``FrameTimeout`` after ``deadline_s`` seconds (the stream stays usable), ``StreamClosed`` when the peer
        ended or reset the stream, ``FrameTooLarge`` when it announced a frame over the limit, ``DialFailed`` when a
        stream that was opened optimistically is not taken.
        """
        frame = await self._at_hand()
        if frame is None:
            frame = await self._frame_until(trio.current_time() + deadline_s)
        if frame is not None:
            return frame
        if self._closed:
            raise StreamClosed("The stream was closed on this side.")
        if self._end is not None:
            raise self._ended()
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
        self._most_out = self._max
        frame = _LENGTH.pack(len(payload)) + payload
        if not self._write_lock.locked() and write_now(below_all(self._stream), frame):
            self._flow.sent(len(frame))
            return
        whole = False
        deadline_s += len(payload) / SLOWEST_BYTES_PER_S
        try:
            with trio.move_on_after(deadline_s) as scope:
                async with self._write_lock:
                    await self._stream.write(frame)
                    self._flow.sent(len(frame))
                whole = True
        except Exception as error:
            raise StreamClosed("The peer closed the stream.", cause=repr(error)) from error
        finally:
            if not whole:
                await self.abort()
        if scope.cancelled_caught and not whole:
            raise FrameTimeout("The peer did not take the frame in time.", cause=f"deadline {deadline_s:g} s")

    async def finish(self) -> None:
        """Send no more, and go on to receive: the peer reads all that was sent, then the end."""
        try:
            with trio.move_on_after(ABORT_DEADLINE_S):
                await self._stream.close_write()
        except Exception as error:
            raise StreamClosed("The peer closed the stream.", cause=repr(error)) from error

    async def close(self) -> None:
        """End the stream after what was sent: the peer reads all of it, then the end. Does not wait for the peer."""
        if self._closed:
            return
        self._leave()
        try:
            with trio.move_on_after(ABORT_DEADLINE_S):
                await self._stream.close_write()
        except Exception as error:  # noqa: BLE001 - a stream that cannot be closed is gone already
            log.debug("stream_close_failed", peer=self.peer_id, error=repr(error))
        try:
            self._nursery.start_soon(self._linger)
        except RuntimeError:  # the host fell, and its nursery takes no more tasks
            await self._reset()

    async def abort(self) -> None:
        """Reset the stream at once, dropping what was not delivered. Safe to call at any time, any number of times."""
        self._leave()
        await self._reset()

    def _leave(self) -> None:
        """Whoever still waits for a frame gets none."""
        self._closed = True
        self._wake()

    async def _reset(self) -> None:
        self._count_out()
        with trio.CancelScope(deadline=trio.current_time() + ABORT_DEADLINE_S, shield=True):
            try:
                await self._stream.reset()
            except Exception as error:  # noqa: BLE001 - nothing is left to save of this stream
                log.debug("stream_reset_failed", peer=self.peer_id, error=repr(error))

    async def _linger(self) -> None:
        # A reset now could overtake what was just sent; give the peer time to end its side first.
        with trio.move_on_after(LINGER_S):
            try:
                while self._end is None and await self._stream.read(READ_BYTES):
                    pass
            except Exception as error:  # noqa: BLE001 - the end that was waited for, however it came
                log.debug("stream_ended", peer=self.peer_id, reason=repr(error))
        await self._reset()

    def _count_out(self) -> None:
        if not self._counted_out:
            self._counted_out = True
            self._timer.stop()
            self._flow.open -= 1

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

    async def _frame_until(self, due: float) -> bytes | None:
        """The next frame; None at ``due`` (on trio's clock), and when none can come any more."""
        async with self._read_lock:
            try:
                self._timer.set(due)
                while not self._closed:
                    frame = self._next()
                    if frame is not None:
                        return frame
                    if due <= trio.current_time():
                        return None
                    self._read += await self._read_on(due)
            except Exception as error:  # noqa: BLE001 - whatever the library raises, the stream has ended
                await self._note_end(error)
        return None

    async def _read_on(self, due: float) -> bytes:
        """What comes next; nothing when ``due`` or ``close`` came first."""
        below = below_all(self._stream)
        if below is not None:
            return await read_or_wake(below, READ_BYTES)
        data = b""
        with trio.CancelScope(deadline=due) as self._receiving:
            data = await self._stream.read(READ_BYTES)
        return data  # noqa: RET504  # nothing came when the scope was cut

    def _wake(self) -> None:
        below = below_all(self._stream)
        if below is not None:
            wake(below)
        if self._receiving is not None:
            self._receiving.cancel()

    async def _at_hand(self) -> bytes | None:
        """The next frame if it was read together with the last one; a deadline would cost more than the frame."""
        if self._closed or self._end is not None or self._read_lock.locked() or len(self._read) < _LENGTH.size:
            return None
        self._took_at_hand = (self._took_at_hand + 1) % YIELD_EVERY
        await (trio.lowlevel.checkpoint_if_cancelled() if self._took_at_hand else trio.lowlevel.checkpoint())
        try:
            return self._next()
        except MeshError as error:
            await self._note_end(error)
            return None

    async def _note_end(self, error: Exception) -> None:
        if self._end is not None:
            return
        if isinstance(error, MeshError):
            self._end = error
            await self._reset()
        elif isinstance(error, StreamEOF):
            self._end = StreamClosed("", cause="in the middle of a frame" if self._read else "")
        else:
            self._end = StreamClosed("", cause=repr(error))
        self._count_out()

    def _next(self) -> bytes | None:
        """The next frame if all of it was read."""
        if self._end is not None:
            raise self._end
        if len(self._read) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._read)
        if length > self._most_in:
            raise FrameTooLarge(
                "The peer announced a frame over the limit.", cause=f"{length} of {self._most_in} bytes"
            )
        end = _LENGTH.size + length
        if len(self._read) < end:
            return None
        frame = bytes(self._read[_LENGTH.size : end])
        del self._read[:end]
        self._most_in = self._max
        self._flow.received(end)
        return frame
