"""Length-prefixed msgpack frames between an engine and its worker: four bytes of length, then one list.

Owns the bounds and the bytes. What a frame means is the business of ``protocol``; who carries it, of the two ends.
"""

from __future__ import annotations

import struct
from typing import Any, TypeAlias

import msgpack

from peernode.engine.errors import WorkerProtocolBroken
from peernode.wire.bounds import MAX_WORKER_FRAME_BYTES

Frame: TypeAlias = list[Any]

MAX_FRAME = MAX_WORKER_FRAME_BYTES
_LENGTH = struct.Struct(">I")


def pack_frame(frame: Frame) -> bytes:
    """Raises WorkerProtocolBroken when the frame is too large, UnicodeEncodeError for a lone surrogate."""
    body = msgpack.packb(frame, use_bin_type=True)
    if len(body) > MAX_FRAME:
        raise WorkerProtocolBroken("A frame is too large.", cause=f"{len(body)} bytes, at most {MAX_FRAME} are sent")
    return _LENGTH.pack(len(body)) + bytes(body)


class FrameReader:
    """``feed`` bytes in whatever pieces they come; get the frames that are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Raises WorkerProtocolBroken; the reader is of no use afterwards."""
        self._buffer += data
        frames = []
        at = 0
        while len(self._buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, at)
            if length > MAX_FRAME:
                raise WorkerProtocolBroken("A frame is too large.", cause=f"{length} bytes announced")
            end = at + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            frames.append(_unpack(bytes(self._buffer[at + _LENGTH.size : end])))
            at = end
        del self._buffer[:at]
        return frames


def _unpack(body: bytes) -> Frame:
    try:
        frame = msgpack.unpackb(body, raw=False, use_list=True, strict_map_key=False)
    # msgpack raises many types for bad input (ValueError, StackError, UnicodeDecodeError, ExtraData…)
    except Exception as err:
        raise WorkerProtocolBroken("A frame is not msgpack.", cause=type(err).__name__) from err
    if not isinstance(frame, list) or not frame:
        raise WorkerProtocolBroken("A frame is not a list.", cause=type(frame).__name__)
    return frame
