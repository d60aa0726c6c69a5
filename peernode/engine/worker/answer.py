"""The growing answer of one sequence: tokens in, text out, and the moment at which it ends by itself.

Owns the way from token ids to text (bytes, characters, stop strings) and the limit on length. Earlier tokens of a
continued answer pass through it first, so that what was held back then is held back now, and nothing is said twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from peernode.engine.worker.stops import StopMatcher
from peernode.engine.worker.utf8 import Utf8Stream


class Answer:
    """``limit`` counts all tokens of the answer, ``earlier`` included; ``new_tokens`` counts only the later ones."""

    def __init__(
        self,
        pieces: Sequence[bytes],
        end_ids: frozenset[int],
        *,
        stops: Sequence[str],
        limit: int,
        earlier: Sequence[int] = (),
    ) -> None:
        self._pieces = pieces
        self._end_ids = end_ids
        self._characters = Utf8Stream()
        self._stops = StopMatcher(stops)
        self._limit = limit
        self.position = 0
        self.end = ""
        for token in earlier:
            self._text_of(token)
        self.position = self._earlier = len(earlier)
        self._settle()

    @property
    def new_tokens(self) -> int:
        return self.position - self._earlier

    @property
    def remaining(self) -> int:
        return self._limit - self.position

    def add(self, token: int) -> tuple[str, list[int]]:
        """What to send for a sampled token. The end-of-generation token is not part of the answer."""
        if token in self._end_ids:
            self.end = "stop"
            return self.rest(), []
        text = self._text_of(token)
        self.position += 1
        self._settle()
        if self.end == "length":
            text += self.rest()
        return text, [token]

    def rest(self) -> str:
        """Text held back so far; call once, when the answer ends for any reason but a stop string."""
        return self._stops.push(self._characters.flush()) + self._stops.flush()

    def _text_of(self, token: int) -> str:
        return self._stops.push(self._characters.push(self._pieces[token]))

    def _settle(self) -> None:
        if self._stops.stopped:
            self.end = "stop"
        elif self.position >= self._limit:
            self.end = "length"
