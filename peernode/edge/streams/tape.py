"""What a stream has said so far, event by event, and the shelf where such tapes lie until they are too old.

Times are of trio's clock. Comments are not events: they are neither kept nor counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import trio

MAX_TAPES = 1024
MAX_BYTES = 64 << 20
MAX_TAPE_BYTES = 4 << 20
# How long a finished stream can still be fetched, and how long an unfinished one runs on without anybody who listens.
KEPT_S = 120.0
ALONE_S = 30.0


class Tape:
    """One stream. ``owner`` is the key that may read it, or empty; ``ended_at`` is None while it runs."""

    def __init__(self, request_id: str, owner: str) -> None:
        self.request_id = request_id
        self.owner = owner
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.events: list[bytes] = []
        self.size = 0
        self.ended_at: float | None = None
        self.overran = False
        self._readers = 0
        self._left_at = 0.0
        self._rest = b""
        self._news = trio.Event()

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status, self.headers = status, headers
        self._tell()

    def add(self, body: bytes) -> None:
        """``body`` holds whole events, as everything does that a stream writes; an error's body is one event."""
        if self.overran:
            return
        end = b"\n\n" if self.is_event_stream else b"\n"
        *whole, self._rest = (self._rest + body).split(end)
        self.events += [event + end for event in whole if event and not event.startswith(b":")]
        self.size += len(body)
        if self.size > MAX_TAPE_BYTES:
            self.overran = True
            self.events.clear()
        self._tell()

    def end(self, now: float) -> None:
        if self._rest:
            self.events.append(self._rest)
        self.ended_at = now
        self._tell()

    @property
    def is_event_stream(self) -> bool:
        return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in self.headers)

    async def changed(self) -> None:
        """Return when there is something new."""
        await self._news.wait()

    @contextmanager
    def reader(self) -> Iterator[None]:
        """Somebody listens."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._left_at = trio.current_time()

    async def abandoned(self) -> None:
        """Return when nobody has listened for ``ALONE_S``; call when the first listener leaves."""
        self._left_at = trio.current_time()
        while True:
            now = trio.current_time()
            until = (now if self._readers else self._left_at) + ALONE_S
            if now >= until:
                return
            await trio.sleep_until(until)

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()


class Shelf:
    """All tapes of one node: at most ``MAX_TAPES``, and ``MAX_BYTES`` together; the oldest go first."""

    def __init__(self) -> None:
        self._tapes: OrderedDict[str, Tape] = OrderedDict()

    def new(self, request_id: str, owner: str, now: float) -> Tape:
        tape = self._tapes[request_id] = Tape(request_id, owner)
        self._tidy(now)
        return tape

    def find(self, request_id: str, now: float) -> Tape | None:
        self._tidy(now)
        tape = self._tapes.get(request_id)
        return None if tape is None or tape.overran else tape

    def _tidy(self, now: float) -> None:
        old = [name for name, tape in self._tapes.items() if tape.ended_at is not None and tape.ended_at + KEPT_S < now]
        for name in old:
            del self._tapes[name]
        while self._tapes and (
            len(self._tapes) > MAX_TAPES or sum(tape.size for tape in self._tapes.values()) > MAX_BYTES
        ):
            self._tapes.popitem(last=False)
