"""The ASGI layer that opens sealed requests and seals their answers; everything else passes as it is.

A sealed request is a POST of ``CONTENT_TYPE`` to the path it is for. Its head holds ``at_ms``, the ``method`` and the
headers that count, the key among them, so that on the wire there is neither prompt nor key nor answer. What is refused
because it cannot be opened is answered in the clear; whatever happens to an opened one is sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peernode.chat.errors import BadRequest
from peernode.edge.answers import error_response
from peernode.edge.boundary import request_id_of
from peernode.edge.sealed.seen import Seen
from peernode.errors import PeernodeError
from peernode.wire.errors import WireError
from peernode.wire.identity import exchange_key_of
from peernode.wire.sealed import (
    CONTENT_TYPE,
    AnswerSealer,
    Opened,
    answer_key,
    client_key_in,
    open_request,
    request_key,
)

METHODS = ("GET", "POST", "DELETE")
# What a client may say inside; the rest is the connection's.
INNER_HEADERS = frozenset(
    {"accept", "authorization", "content-type", "http-referer", "idempotency-key", "redirect"}
    | {"x-peernode-route", "x-title"}
)
_TRAILERS = "http.response.trailers"


class SealRefused(BadRequest):
    """A sealed request that this node cannot open."""

    code = "seal_refused"


class Sealing(Protocol):
    """The node's own key, to agree on secrets with."""

    peer_id: str

    def agree(self, public: bytes) -> bytes: ...


class SealedRequests:
    """ASGI wrapper, behind ``Intake``: the body comes whole, in one message. ``clock`` gives Unix seconds."""

    def __init__(self, app: ASGIApp, sealing: Sealing | None, clock: Callable[[], float]) -> None:
        self._app = app
        self._sealing = sealing
        self._clock = clock
        self._seen = Seen(clock())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not _is_sealed(scope):
            await self._app(scope, receive, send)
            return
        sealed = (await receive()).get("body", b"")
        opened, sealer = self._open(scope, sealed)
        _turn_into(scope, opened)
        body: list[Message] = [{"type": "http.request", "body": opened.body, "more_body": False}]

        async def replayed() -> Message:
            return body.pop() if body else await receive()

        answer = _SealedAnswer(sealer, send)
        try:
            await self._app(scope, replayed, answer.send)
        except PeernodeError as err:
            if answer.begun:
                raise
            await error_response(err, request_id_of(scope))(scope, replayed, answer.send)

    def _open(self, scope: Scope, sealed: bytes) -> tuple[Opened, AnswerSealer]:
        if self._sealing is None:
            raise SealRefused("This node takes no sealed requests.")
        node = exchange_key_of(self._sealing.peer_id)
        try:
            client = client_key_in(sealed)
            secret = self._sealing.agree(client)
            opened = open_request(request_key(secret, client, node, _target(scope)), sealed)
        except WireError as err:
            raise SealRefused(err.sentence, cause=err.cause, remedy=err.remedy) from err
        made_ms = opened.head.get("at_ms")
        if not isinstance(made_ms, int) or not 0 <= made_ms < 1 << 53:
            raise SealRefused("The sealed request has no time.", param="at_ms")
        self._seen.take(client, made_ms / 1000, self._clock())
        return opened, AnswerSealer(answer_key(secret, client, node, sealed))


class _SealedAnswer:
    """The app's answer on its way out: one frame for its head, one or more for each piece, one for the end."""

    def __init__(self, sealer: AnswerSealer, send: Send) -> None:
        self._sealer = sealer
        self._send = send
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in message["headers"]]
            head = self._sealer.head({"status": message["status"], "headers": headers})
            await self._send({"type": "http.response.start", "status": 200, "headers": _OUTER_HEADERS})
            await self._send({"type": "http.response.body", "body": head, "more_body": True})
        elif message["type"] == "http.response.body":
            more = message.get("more_body", False)
            data = self._sealer.body(message.get("body", b""))
            if data or not more:
                data += b"" if more else self._sealer.end()
                await self._send({"type": "http.response.body", "body": data, "more_body": more})


_OUTER_HEADERS = [
    (b"content-type", CONTENT_TYPE.encode()),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]


def _is_sealed(scope: Scope) -> bool:
    return Headers(scope=scope).get("content-type", "").split(";")[0].strip().lower() == CONTENT_TYPE


def _target(scope: Scope) -> bytes:
    """Path and query as they came."""
    query: bytes = scope["query_string"]
    path: bytes = scope["raw_path"]
    return path + b"?" + query if query else path


def _turn_into(scope: Scope, opened: Opened) -> None:
    """Make ``scope`` that of the request inside. Raises SealRefused. What the connection says of itself stays."""
    method, inner = opened.head.get("method", "POST"), opened.head.get("headers", {})
    if method not in METHODS:
        raise SealRefused(f"method must be one of {', '.join(METHODS)}.", param="method")
    if not isinstance(inner, Mapping) or not all(
        isinstance(value, str) and value.isascii() for value in inner.values()
    ):
        raise SealRefused("headers must be an object of texts.", param="headers")
    named = {name.lower(): value for name, value in inner.items()}
    if others := named.keys() - INNER_HEADERS:
        raise SealRefused("A header does not belong inside.", param="headers", cause=ascii(min(others))[:40])
    outer = [each for each in scope["headers"] if each[0] not in (b"content-type", b"content-length")]
    kept = [(name, value) for name, value in outer if name.decode("latin-1") not in named]
    size = (b"content-length", str(len(opened.body)).encode())
    scope["method"] = method
    scope["headers"] = [*kept, size, *((name.encode(), value.encode()) for name, value in named.items())]
    scope["extensions"] = {name: it for name, it in scope.get("extensions", {}).items() if name != _TRAILERS}
