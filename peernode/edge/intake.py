"""Request bodies: read whole before the app runs, with a limit and a deadline; the app replays them from memory.

Owns 413 and 408, and the room that large bodies share, so that nobody fills the memory with them. A body must be read
even if nobody wants it: Hypercorn queues ten pieces for the app and then waits for ever, and a client that is still
sending when we close gets a reset instead of our answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peernode.edge.answers import error_response
from peernode.edge.boundary import request_id_of
from peernode.edge.errors import AmbiguousLength, BodyTooLarge, EdgeError, NoRoom, SlowBody, TinyPieces
from peernode.wire.bounds import MAX_BODY_BYTES

BODY_S = 30.0
SMALL_BODY_BYTES = 64 << 10
LARGE_BODIES_BYTES = 256 << 20
# So many pieces may be as small as they like; more of them must have so many bytes on average. Each takes as much
# work as a kilobyte of a large one.
MANY_PIECES, SMALLEST_PIECE = 1024, 64
# A client that sent too much is read out this far, so that it can hear our refusal.
MAX_DISCARD_BYTES = 64 << 20
DISCARD_S = 5.0


class Room:
    """Memory for bodies over SMALL_BODY_BYTES, shared by all requests that are read or answered."""

    def __init__(self, size: int = LARGE_BODIES_BYTES) -> None:
        self.free = size

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """A function to call with the size of a body as it grows; raises NoRoom. All is given back at the end."""
        taken = 0

        def grow(size: int) -> None:
            nonlocal taken
            more = max(0, size - SMALL_BODY_BYTES) - taken
            if more > self.free:
                raise NoRoom("Too many large requests are here at once.", remedy="Try again in a while.")
            self.free -= more
            taken += more

        try:
            yield grow
        finally:
            self.free += taken


class Intake:
    """ASGI wrapper that hands the app a body of at most ``max_bytes``, complete or not at all."""

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int = MAX_BODY_BYTES,
        body_s: float = BODY_S,
        room: int = LARGE_BODIES_BYTES,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._body_s = body_s
        self._room = Room(room)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _is_ambiguous(scope):
            error = AmbiguousLength(
                "The request says twice how long its body is.",
                cause="both Content-Length and Transfer-Encoding",
                remedy="Send one of them.",
            )
            await self._refuse(error, scope, receive, send)
            return
        with self._room.share() as grow:
            await self._take(grow, scope, receive, send)

    async def _take(self, grow: Callable[[int], None], scope: Scope, receive: Receive, send: Send) -> None:
        body: bytes | None = None
        try:
            with trio.fail_after(self._body_s):
                body = await self._read(receive, grow)
        except trio.TooSlowError:
            error: EdgeError = SlowBody(
                "The request body did not arrive in time.", cause=f"not complete after {self._body_s:g} s"
            )
        except (BodyTooLarge, NoRoom, TinyPieces) as err:
            error = err
        else:
            if body is not None:
                await self._app(scope, _replay(body, receive), send)
            return  # with no body the client left while it was sending: nobody to answer
        await self._refuse(error, scope, receive, send)

    async def _read(self, receive: Receive, grow: Callable[[int], None]) -> bytes | None:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            piece = message.get("body", b"")
            size += len(piece)
            if size > self._max_bytes:
                if message.get("more_body", False):
                    await _discard(receive)
                raise BodyTooLarge("The request body is too large.", cause=f"more than {self._max_bytes} bytes")
            try:
                grow(size)
            except NoRoom:
                if message.get("more_body", False):
                    pieces.clear()
                    await _discard(receive)
                raise
            pieces.append(piece)
            if len(pieces) > MANY_PIECES and size < len(pieces) * SMALLEST_PIECE:
                raise TinyPieces(
                    "The request body comes in too many small pieces.",
                    cause=f"{size} bytes in {len(pieces)} pieces",
                    remedy="Send larger chunks, or the whole body with its Content-Length.",
                )
            if not message.get("more_body", False):
                return b"".join(pieces)

    async def _refuse(self, error: EdgeError, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer while the rest of the body is read and dropped, until the server says that the client is gone."""
        response = error_response(error, request_id_of(scope))
        response.headers["Connection"] = "close"

        async def drain() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            await response(scope, receive, send)


def _is_ambiguous(scope: Scope) -> bool:
    """RFC 9112, section 6.3: such a request ought to be handled as an error."""
    names = {name for name, _ in scope["headers"]}
    return b"content-length" in names and b"transfer-encoding" in names


async def _discard(receive: Receive) -> None:
    size = 0
    with trio.move_on_after(DISCARD_S):
        while size <= MAX_DISCARD_BYTES:
            message = await receive()
            size += len(message.get("body", b""))
            if not message.get("more_body", False):
                return


def _replay(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed
