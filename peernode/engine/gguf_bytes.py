"""Reads a file's header piece by piece, never past its end and never more than a window at a time.

Reads instead of mapping: a file that is cut short while it is mapped kills the process that looks at it.
"""

from __future__ import annotations

import os
import struct

from peernode.engine.errors import ModelLoadFailed
from peernode.engine.gguf_types import MAX_HEADER_BYTES

_WINDOW = 1 << 18


def damaged(cause: str) -> ModelLoadFailed:
    """The error for a file whose header cannot be right."""
    return ModelLoadFailed(
        "The model file is damaged or not a GGUF model.",
        cause=cause,
        remedy="Download it again and compare its checksum with the publisher's.",
    )


class GgufBytes:
    """Little-endian reads from an open file. Every method raises ModelLoadFailed where the file has no more."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size
        self._start = 0  # where the window begins in the file
        self._window = b""
        self._at = 0  # the position in the window; skipping may leave it behind the end

    @property
    def position(self) -> int:
        return self._start + self._at

    @property
    def remaining(self) -> int:
        return self.size - self.position

    def take(self, count: int, what: str) -> bytes:
        """The next ``count`` bytes; the caller has bounded ``count``."""
        if count > self.remaining:
            raise damaged(f"the file ends inside {what}")
        if self._at + count > len(self._window):
            self._refill(max(count, _WINDOW), what)
        taken = self._window[self._at : self._at + count]
        if len(taken) < count:
            raise damaged(f"the file was cut short inside {what} while it was read")
        self._at += count
        return taken

    def number(self, form: str, what: str) -> int | float:
        """One number of a ``struct`` format."""
        value: int | float = struct.unpack(form, self.take(struct.calcsize(form), what))[0]
        return value

    def integer(self, form: str, what: str) -> int:
        return int(self.number(form, what))

    def skip(self, count: int, what: str) -> None:
        if count > self.remaining:
            raise damaged(f"the file ends inside {what}")
        self._at += count

    def skip_strings(self, count: int, longest: int, what: str) -> None:
        """Step over ``count`` strings, each with its length before it; the hot loop of a large vocabulary."""
        if 8 * count > self.remaining:
            raise damaged(f"{what} claims {count} strings, more than the file can hold")
        read_length = struct.Struct("<Q").unpack_from
        window, at, last = self._window, self._at, len(self._window) - 8
        for _ in range(count):
            if at > last:
                self._at = at
                if self.remaining < 8:
                    raise damaged(f"the file ends inside {what}")
                self._refill(_WINDOW, what)
                window, at, last = self._window, self._at, len(self._window) - 8
            (length,) = read_length(window, at)
            if length > longest:
                raise damaged(f"{what} holds a string of {length} bytes, at most {longest} are allowed")
            at += 8 + length
        self._at = at
        if self.remaining < 0:
            raise damaged(f"the file ends inside {what}")

    def _refill(self, count: int, what: str) -> None:
        start = self.position
        if start > MAX_HEADER_BYTES:
            raise damaged(f"the header is longer than {MAX_HEADER_BYTES} bytes")
        self._window = os.pread(self._descriptor, min(count, self.size - start), start)
        self._start, self._at = start, 0
        if len(self._window) < min(8, self.size - start):
            raise damaged(f"the file was cut short inside {what} while it was read")
