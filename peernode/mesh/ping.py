"""``/peernode/ping/1``: how long a frame takes to a peer and back, over a stream like those that jobs use.

Each frame is an 8-byte number, big-endian, and is echoed as it is. Owns both sides of that; leaves dialling to
``mesh`` and what a peer is called to the node.
"""

from __future__ import annotations

import statistics
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from peernode.mesh.errors import FrameTimeout, MeshError, StreamClosed
from peernode.mesh.frames import FrameStream

PROTOCOL = "/peernode/ping/1"
MAX_COUNT = 100
INTERVAL_S = 0.2
ANSWER_S = 2.0
# What a peer may cost us: frames of one number, so many a stream and so fast.
MAX_ECHO_BYTES = 64
MAX_ECHOES = 1000
ECHO_GAP_S = 0.01
QUIET_S = 30.0
_NUMBER = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """One entry per ping in order of sending: seconds, or None when no answer came in time."""

    seconds: Sequence[float | None]

    @property
    def answered(self) -> list[float]:
        """The round trips of pings that came back."""
        return [each for each in self.seconds if each is not None]

    @property
    def lost(self) -> int:
        """How many never came back."""
        return len(self.seconds) - len(self.answered)

    @property
    def median(self) -> float | None:
        """The median of those that came back; None when none did."""
        return statistics.median(self.answered) if self.answered else None


async def echo(stream: FrameStream) -> None:
    """Answer a peer's pings until it ends the stream, says nothing for 30 s or has had a thousand of them.

    Raises ``MeshError`` for a frame that is no ping.
    """
    for _ in range(MAX_ECHOES):
        try:
            frame = await stream.receive(QUIET_S)
        except (StreamClosed, FrameTimeout):
            return
        if len(frame) > MAX_ECHO_BYTES:
            raise MeshError("The peer's ping is too long.", cause=f"{len(frame)} of {MAX_ECHO_BYTES} bytes")
        await stream.send(frame)
        await trio.sleep(ECHO_GAP_S)


async def measure(
    stream: FrameStream, *, count: int, interval_s: float = INTERVAL_S, answer_s: float = ANSWER_S
) -> RoundTrips:
    """Ping ``count`` times, one after the other, ``interval_s`` apart; what takes over ``answer_s`` seconds is lost.

    A stream that ends makes the rest lost, too: it does not raise.
    """
    took: list[float | None] = []
    try:
        for number in range(count):
            if number:
                await trio.sleep(interval_s)
            began = trio.current_time()
            await stream.send(_NUMBER.pack(number))
            took.append(trio.current_time() - began if await _echoed(stream, number, answer_s) else None)
    except MeshError:
        took += [None] * (count - len(took))
    return RoundTrips(took)


async def _echoed(stream: FrameStream, number: int, answer_s: float) -> bool:
    """Wait for the echo of ``number``; echoes of earlier ones come too late and are passed over."""
    wanted, until = _NUMBER.pack(number), trio.current_time() + answer_s
    while True:
        try:
            if await stream.receive(max(0.0, until - trio.current_time())) == wanted:
                return True
        except FrameTimeout:
            return False
