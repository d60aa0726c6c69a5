"""Tokens on their way out: the first leaves at once, later ones ride together for at most 20 ms. Pure.

A batch that has grown large does not wait: a frame has an upper bound, and tokens pile up when the way out was blocked.
"""

from __future__ import annotations

import math

from peernode.chat.events import Tokens
from peernode.wire.job_frames import MAX_FRAME_BYTES, MAX_TOKENS_PER_FRAME
from peernode.wire.logprobs import Logprobs

INTERVAL_S = 0.020
# An eighth and a quarter of what one frame may hold.
LARGE_TOKENS = MAX_TOKENS_PER_FRAME // 8
LARGE_BYTES = MAX_FRAME_BYTES // 4


class TokenBatch:
    """Collects token events; ``due`` is when the next frame should leave (infinity when nothing waits)."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._pieces: list[str] = []
        self._logprobs: list[Logprobs] = []
        self._bytes = 0
        self._earliest = -math.inf
        self.due = math.inf

    def add(self, tokens: Tokens, *, now: float) -> None:
        self._ids.extend(tokens.ids)
        self._pieces.append(tokens.text)
        self._logprobs.extend(tokens.logprobs)
        self._bytes += 4 * len(tokens.text) + sum(entry.size for entry in tokens.logprobs)
        large = len(self._ids) >= LARGE_TOKENS or self._bytes >= LARGE_BYTES
        self.due = now if large else max(now, self._earliest)

    def take(self, *, now: float) -> Tokens | None:
        """What has been collected, if anything; the next batch then waits out the interval."""
        if not self._pieces:
            return None
        tokens = Tokens("".join(self._pieces), tuple(self._ids), tuple(self._logprobs))
        self._ids.clear()
        self._pieces.clear()
        self._logprobs.clear()
        self._bytes = 0
        self._earliest = now + INTERVAL_S
        self.due = math.inf
        return tokens
