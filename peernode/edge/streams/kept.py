"""An answer whose stream is taped while it is sent, and which goes on for a while when its client is gone."""

from __future__ import annotations

import trio
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from peernode.edge.leave import leave_of
from peernode.edge.streams.tape import Tape


class KeptResponse(Response):
    """``inner`` hears that its client has left only when nobody has listened to the tape for a while either."""

    def __init__(self, inner: Response, tape: Tape) -> None:
        self.status_code = 200
        self.background = None
        self._inner = inner
        self._tape = tape
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tape = self._tape

        async def taped(message: Message) -> None:
            if message["type"] == "http.response.start":
                tape.begin(message["status"], list(message["headers"]))
            elif message["type"] == "http.response.body":
                tape.add(message.get("body", b""))
            if not self._gone:
                await send(message)

        async def patient() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                self._gone = True
                await tape.abandoned()
            return message

        try:
            with leave_of(scope).held():  # ``patient`` says when it is time
                await self._inner(scope, patient, taped)
        finally:
            tape.end(trio.current_time())


class ReplayResponse(Response):
    """The events of ``tape`` from number ``first`` on, and those that still come."""

    def __init__(self, tape: Tape, first: int) -> None:
        self.status_code = 200
        self.background = None
        self._tape = tape
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = False
        with self._tape.reader():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch, receive, nursery.cancel_scope)
                await self._replay(send)
                whole = True
                nursery.cancel_scope.cancel()
        if whole:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _replay(self, send: Send) -> None:
        tape, at = self._tape, self._first
        while not tape.status and tape.ended_at is None:
            await tape.changed()
        headers = [(name, value) for name, value in tape.headers if name not in _ITS_OWN]
        await send({"type": "http.response.start", "status": tape.status or 200, "headers": headers})
        while True:
            fresh = tape.events[at:]
            if fresh:
                at += len(fresh)
                await send({"type": "http.response.body", "body": b"".join(fresh), "more_body": True})
            elif tape.ended_at is not None or tape.overran:
                return
            else:
                await tape.changed()


# Of the first answer alone.
_ITS_OWN = (b"content-length", b"x-request-id", b"date", b"server")


async def _watch(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
