"""Turns the bytes of tokens into text without ever cutting a character.

A token may hold half a character; its bytes wait here for the rest. Bytes that can never become a character
are replaced by U+FFFD, at the same places wherever the stream was cut.
"""

from __future__ import annotations

import codecs


class Utf8Stream:
    """``push`` bytes, get the characters that are complete."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, piece: bytes) -> str:
        return self._decoder.decode(piece)

    def flush(self) -> str:
        """The replacement of half a character that will not be completed."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest
