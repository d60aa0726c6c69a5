"""Request bodies: read whole before the app runs, with a limit and a deadline; the app replays them from memory.

Owns 413 and 408. A body must be read even if nobody wants it: Hypercorn queues ten pieces for the app and then waits
for ever, and a client that is still sending when we close gets a reset instead of our answer.
"""

from __future__ import annotations

import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peernode.edge.answers import error_response
from peernode.edge.boundary import request_id_of
from peernode.edge.errors import BodyTooLarge, EdgeError, SlowBody
from peernode.wire.bounds import MAX_BODY_BYTES

BODY_S = 30.0
# A client that sent too much is read out this far, so that it can hear our refusal.
MAX_DISCARD_BYTES = 64 << 20
DISCARD_S = 5.0


class Intake:
    """ASGI wrapper that hands the app a body of at most ``max_bytes``, complete or not at all."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES, body_s: float = BODY_S) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._body_s = body_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body: bytes | None = None
        try:
            with trio.fail_after(self._body_s):
                body = await self._read(receive)
        except trio.TooSlowError:
            error: EdgeError = SlowBody(
                "The request body did not arrive in time.", cause=f"not complete after {self._body_s:g} s"
            )
        except BodyTooLarge as err:
            error = err
        else:
            if body is not None:
                await self._app(scope, _replay(body, receive), send)
            return  # with no body the client left while it was sending: nobody to answer
        await self._refuse(error, scope, receive, send)

    async def _read(self, receive: Receive) -> bytes | None:
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
            pieces.append(piece)
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
