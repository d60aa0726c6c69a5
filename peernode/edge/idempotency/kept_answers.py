"""Answers to requests that had an idempotency key: as they are made, and for a while after. Knows no HTTP server.

Times are of trio's clock. Only answers that succeeded are kept: what failed has cost nothing, and may be tried again.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TypeAlias

import trio

from peernode.errors import PeernodeError

KEPT_S = 600.0
MAX_ANSWERS = 4096
MAX_BYTES = 64 << 20
# Vectors of a large request for embeddings are about as much.
MAX_ANSWER_BYTES = 16 << 20
# Whose key it is, and the key.
Name: TypeAlias = tuple[str, str]


class Answer:
    """One answer, byte for byte. ``error`` is why there is none; ``too_large`` that it is no longer here as a whole."""

    def __init__(self, name: Name, fingerprint: bytes, request_id: str) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.request_id = request_id
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.size = 0
        self.over = False
        self.ended_at = 0.0
        self.too_large = False
        self.error: PeernodeError | None = None
        self._news = trio.Event()

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status, self.headers = status, headers
        self._tell()

    def add(self, piece: bytes) -> None:
        if not piece or self.too_large:
            return
        self.size += len(piece)
        self.pieces.append(piece)
        if self.size > MAX_ANSWER_BYTES:
            self.too_large = True
            self.size = 0
            self.pieces.clear()
        self._tell()

    def end(self, now: float, error: PeernodeError | None = None) -> None:
        self.over, self.ended_at, self.error = True, now, error
        self._tell()

    async def changed(self) -> None:
        """Return when there is something new."""
        await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()


class KeptAnswers:
    """All of one server. At most ``MAX_ANSWERS`` and ``MAX_BYTES`` are kept; whoever has most loses his oldest first.

    Those that are still being made are not counted: how many there can be is for ``turns`` to say.
    """

    def __init__(self) -> None:
        self._running: dict[Name, Answer] = {}
        self._kept: OrderedDict[Name, Answer] = OrderedDict()
        self._bytes: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._running) + len(self._kept)

    def find(self, name: Name, now: float) -> Answer | None:
        self._forget_old(now)
        return self._running.get(name) or self._kept.get(name)

    def begin(self, name: Name, fingerprint: bytes, request_id: str) -> Answer:
        """A new answer; there must be none of this name."""
        answer = self._running[name] = Answer(name, fingerprint, request_id)
        return answer

    def end(self, answer: Answer, now: float, error: PeernodeError | None = None) -> None:
        """The answer is complete, or will not be."""
        answer.end(now, error)
        del self._running[answer.name]
        if error is not None or not 200 <= answer.status < 300:
            return
        self._kept[answer.name] = answer
        self._bytes[answer.name[0]] += _weight(answer)
        while len(self._kept) > MAX_ANSWERS or self._bytes.total() > MAX_BYTES:
            owner = max(self._bytes, key=self._bytes.__getitem__)
            self._forget(next(name for name in self._kept if name[0] == owner))

    def _forget_old(self, now: float) -> None:
        while self._kept:
            name, answer = next(iter(self._kept.items()))
            if answer.ended_at + KEPT_S >= now:
                return
            self._forget(name)

    def _forget(self, name: Name) -> None:
        self._bytes[name[0]] -= _weight(self._kept.pop(name))
        if self._bytes[name[0]] <= 0:
            del self._bytes[name[0]]


def _weight(answer: Answer) -> int:
    """Roughly its memory: a stream is many small pieces."""
    return answer.size + 64 * len(answer.pieces) + 1024
