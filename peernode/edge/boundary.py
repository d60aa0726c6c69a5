"""The outermost layer of every app: names the request, binds that name to the log, and lets no error out unanswered.

Owns ``X-Request-Id`` and the last resort for what nobody foresaw; which error gets which answer stands in ``answers``.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import cast

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peernode.edge.answers import error_response
from peernode.edge.errors import Defect
from peernode.errors import PeernodeError

_SCOPE_KEY = "peernode.request_id"
log = structlog.get_logger("peernode.edge")


def request_id_of(scope: Scope) -> str:
    """The id that the boundary gave to this request."""
    return cast(str, scope[_SCOPE_KEY])


def adopt_request_id(scope: Scope, request_id: str) -> None:
    """From here on this request has the id of the one that it repeats; before the answer begins."""
    scope[_SCOPE_KEY] = request_id


class Boundary:
    """ASGI wrapper; everything that is not HTTP (the lifespan) passes through."""

    def __init__(self, app: ASGIApp, new_request_id: Callable[[], str]) -> None:
        self._app = app
        self._new_request_id = new_request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._pass_through(scope, receive, send)
            return
        request_id = scope[_SCOPE_KEY] = self._new_request_id()
        begun = False

        async def send_named(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id_of(scope).encode("ascii"))]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_named)
                return
            except PeernodeError as err:
                error = err
                log.info("request_refused", code=err.code, path=scope["path"][:200])
            except Exception as err:  # noqa: BLE001  # the last resort; defect() logs it
                error = defect(err)
            if not begun:
                await error_response(error, request_id)(scope, receive, send_named)

    async def _pass_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # nothing here speaks it; refusing it keeps Host checks complete
            await send({"type": "websocket.close", "code": 1000})
            return
        await self._app(scope, receive, send)


def defect(err: BaseException) -> Defect:
    """Log a programming error and return what may be told of it.

    Only its type and the lines it passed: its message and its variables could hold a prompt. Of a group that tasks
    ended in, the errors in it are what tells something.
    """
    for each in _leaves(err):
        lines = traceback.format_list(traceback.extract_tb(each.__traceback__)[-12:])
        log.error("request_met_a_defect", error=type(each).__name__, trace="".join(lines))
    return Defect("The node met an error of its own.", remedy="Quote the request id when you report it.")


def _leaves(err: BaseException) -> Iterator[BaseException]:
    if isinstance(err, BaseExceptionGroup):
        for each in err.exceptions:
            yield from _leaves(each)
    else:
        yield err
