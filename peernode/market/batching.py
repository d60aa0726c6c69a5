"""Tokens on their way out: the first leaves at once, later ones ride together for at most 20 ms. Pure."""

from __future__ import annotations

import math

from peernode.chat.events import Tokens

INTERVAL_S = 0.020


class TokenBatch:
    """Collects token events; ``due`` is when the next frame should leave (infinity when nothing waits)."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._pieces: list[str] = []
        self._earliest = -math.inf
        self.due = math.inf

    def add(self, tokens: Tokens, *, now: float) -> None:
        self._ids.extend(tokens.ids)
        self._pieces.append(tokens.text)
        self.due = max(now, self._earliest)

    def take(self, *, now: float) -> Tokens | None:
        """What has been collected, if anything; the next batch then waits out the interval."""
        if not self._pieces:
            return None
        tokens = Tokens("".join(self._pieces), tuple(self._ids))
        self._ids.clear()
        self._pieces.clear()
        self._earliest = now + INTERVAL_S
        self.due = math.inf
        return tokens
