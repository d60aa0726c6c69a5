"""libp2p 0.8.1 encrypts each frame as a message of its own and hands it to the system by itself.

A decode step of the engine gives a frame to each of many streams at once, and each was a call of the system here and a
process to wake there. Mended by a task that sends: what all tasks say in one round of the scheduler leaves in one
message. Nobody waits for it who only sends data, up to a bound; words that open, end or ask wait until they have left.
A write that is cancelled leaves no half frame: frames enter the box whole, and leave it whatever becomes of the writer.
"""

from __future__ import annotations

import struct
from typing import Any

import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.stream.net_stream import NetStream, StreamState
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux import yamux

from peernode.mesh.hardening import yamux_writes

# As much as one Noise message holds, about. A frame that comes while so much waits has to wait, too.
ROOM_BYTES = 64 * 1024
_MAY_SPEAK = frozenset({StreamState.INIT, StreamState.OPEN, StreamState.CLOSE_READ})


class Outbox:
    """The frames of one connection that have not left yet.

    ``running`` while its task is there to send them; ``failure`` says why nothing leaves any more.
    """

    def __init__(self, muxed: yamux.Yamux) -> None:
        self._muxed = muxed
        self._waiting = bytearray()
        self._wanted = trio.Event()
        self._left = trio.Event()  # when what waits now has left, or never will
        self.failure: str | None = None
        self.running = False

    @property
    def roomy(self) -> bool:
        """Whether a frame can be put in at once."""
        return self.running and len(self._waiting) < ROOM_BYTES

    def put(self, frames: bytes) -> trio.Event:
        """Put whole ``frames`` in; the event is set when they have left, or when the connection has failed."""
        self._waiting += frames
        self._wanted.set()
        return self._left

    async def send(self, frames: bytes, *, wait: bool) -> None:
        """Put ``frames`` in as soon as there is room, and ``wait`` until they have left.

        Raises ``MuxedStreamError`` when the peer took nothing for too long, ``ConnectionClosedError`` when the
        connection broke or ended; then nothing leaves any more.
        """
        while len(self._waiting) >= ROOM_BYTES and self.running:
            await self._left.wait()
        self._check()
        left = self.put(frames)
        if wait:
            await left.wait()
            self._check()

    async def run(self) -> None:
        """Send until the connection fails, or until cancelled; what was put in before that still leaves."""
        self.running = True
        try:
            while self.failure is None:
                self._wanted = trio.Event()
                if not self._waiting:
                    await self._wanted.wait()  # wakes in the next round: what this one has to say is there by then
                await self._empty()
        finally:
            self.running = False
            if self._waiting and self.failure is None:
                with trio.CancelScope(shield=True):  # bounded by the write deadline
                    await self._empty()
            self._waiting.clear()
            self._left.set()

    async def _empty(self) -> None:
        frames, left = bytes(self._waiting), self._left
        self._waiting.clear()
        self._left = trio.Event()
        try:
            await yamux_writes.write_frames(self._muxed, frames)
        except MuxedStreamError as error:
            self.failure = str(error)
        except Exception as error:  # noqa: BLE001 - whatever broke the socket: the writers are told
            self.failure = repr(error)
        finally:
            left.set()

    def _check(self) -> None:
        if self.failure is None:
            return
        if self.failure == yamux_writes.TOO_SLOW:
            raise MuxedStreamError(self.failure)
        raise ConnectionClosedError(self.failure)


def write_now(stream: NetStream | None, data: bytes) -> bool:
    """Send ``data`` on a stream without waiting; False, and nothing done, when something stands in the way.

    Only for who knows that nobody else is writing on the stream.
    """
    if stream is None or stream._state not in _MAY_SPEAK:
        return False
    muxed, size = stream.muxed_stream, len(data)
    if not isinstance(muxed, yamux.YamuxStream) or muxed.closed or muxed.send_closed:
        return False
    conn = muxed.conn
    outbox: Outbox | None = conn.__dict__.get("_outbox")
    if outbox is None or not outbox.roomy or not 0 < size <= min(muxed.send_window, yamux_writes.FRAME_PAYLOAD):
        return False
    if muxed.stream_id in conn.__dict__.get("_riding", ()):  # its opening has to leave right in front of it
        return False
    muxed.send_window -= size
    outbox.put(struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_DATA, 0, muxed.stream_id, size) + data)
    return True


def mend() -> None:
    """Let the frames of one round of the scheduler leave together."""
    original = yamux.Yamux.__init__
    handle = yamux.Yamux._handle_incoming_with_ready_signal
    alone = yamux.Yamux._write_frame

    def with_outbox(self: yamux.Yamux, *args: object, **kwargs: object) -> None:
        original(self, *args, **kwargs)
        self._outbox = Outbox(self)

    async def sending(self: yamux.Yamux, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:  # noqa: ANN401
        self._nursery.start_soon(self._outbox.run)
        await handle(self, task_status)

    async def write_frame(self: yamux.Yamux, data: bytes) -> None:
        _, kind, flags, _, _ = struct.unpack_from(yamux.YAMUX_HEADER_FORMAT, data)
        if not self._outbox.running and self._outbox.failure is None:
            await alone(self, data)  # nobody is there yet to send it
            return
        await self._outbox.send(data, wait=flags != 0 or kind not in (yamux.TYPE_DATA, yamux.TYPE_WINDOW_UPDATE))

    yamux.Yamux.__init__ = with_outbox
    yamux.Yamux._handle_incoming_with_ready_signal = sending
    yamux.Yamux._write_frame = write_frame
