"""Clients that do not read: how long anybody waits for them, and the end of the HTTP/2 streams that they stall.

What HTTP/1.1 writes has its deadline in ``connections``; an HTTP/2 stream can stall by its window alone, with the
connection in good order. Whatever the stalled answer is doing is cancelled, its job too.
"""

from __future__ import annotations

import structlog
import trio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STALLED_S = 30.0
# A large piece has longer, at the speed of a very poor line.
SLOWEST_BYTES_PER_S = 8192
log = structlog.get_logger("peernode.edge")


class StalledStreams:
    """Outermost ASGI wrapper: gives up a stream of HTTP/2 whose client takes nothing for ``STALLED_S``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope.get("http_version", "").startswith("2"):
            await self._app(scope, receive, send)
            return

        async def send_in_time(message: Message) -> None:
            with trio.move_on_after(STALLED_S + len(message.get("body", b"")) / SLOWEST_BYTES_PER_S) as patience:
                await send(message)
            if patience.cancelled_caught:
                log.info("client_stalled")
                whole.cancel()
                await trio.lowlevel.checkpoint()

        with trio.CancelScope() as whole:
            await self._app(scope, receive, send_in_time)
