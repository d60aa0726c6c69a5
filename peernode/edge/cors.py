"""Pages of other origins: which ones the operator lets in (none, unless he names them), and what browsers are told.

Owns the list of origins and the headers of CORS (fetch.spec.whatwg.org, "HTTP-CORS protocol"). Who is not on the list
is refused by ``hosts.HostGuard``. No page is ever told that its cookies may come along: nothing here reads them.
Starlette's middleware is not used: it answers before the Host is checked, and refuses without our code and request id.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peernode.edge.route_header import NAME as ROUTE

EVERY = "*"
MAX_AGE_S = 600
METHODS = "GET, HEAD, POST, DELETE"
ALLOWED = (
    "Authorization",
    "Content-Type",
    "Redirect",
    "HTTP-Referer",
    "X-Title",
    "Idempotency-Key",
    "OpenAI-Organization",
    "OpenAI-Project",
    ROUTE,
)
# By these OpenAI's client for browsers says what it is; their names change with its versions.
ALLOWED_PREFIX = "x-stainless-"
EXPOSED = (
    "Location",
    "Credits",
    "Cost-Per-Unit",
    "X-Request-Id",
    "X-Generation-Id",
    "X-Session-Id",
    "X-Peernode-Receipt",
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Idempotent-Replayed",
    ROUTE,
)
_EXPOSED = ", ".join(EXPOSED).encode("ascii")


class Origins:
    """The origins whose pages may use the server, as browsers write them: ``https://app.example``; ``*`` for all."""

    def __init__(self, listed: Iterable[str] = ()) -> None:
        self._listed = frozenset(each.lower() for each in listed)
        self.every = EVERY in self._listed

    def __bool__(self) -> bool:
        return bool(self._listed)

    def __contains__(self, origin: object) -> bool:
        return self.every or (isinstance(origin, str) and origin.lower() in self._listed)


def is_origin(text: str) -> bool:
    """Whether ``text`` is ``scheme://host[:port]`` of a page, or ``*``."""
    if text == EVERY:
        return True
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError when it is not a number
    except ValueError:
        return False
    plain = f"{parts.scheme}://{parts.netloc}" == text.lower()
    return plain and parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc


class CorsHeaders:
    """Outermost ASGI wrapper: lets pages on the list read every answer, refusals too."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._origins:
            await self._app(scope, receive, send)
            return
        told = self._told(Headers(scope=scope).get("origin", ""))

        async def send_told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *told]
            await send(message)

        await self._app(scope, receive, send_told)

    def _told(self, origin: str) -> list[tuple[bytes, bytes]]:
        # Caches must keep the answers for each origin apart, also those to callers without one.
        told = [] if self._origins.every else [(b"vary", b"Origin")]
        if origin and origin in self._origins:
            allowed = EVERY if self._origins.every else origin
            told.append((b"access-control-allow-origin", allowed.encode("latin-1")))
            told.append((b"access-control-expose-headers", _EXPOSED))
        return told


class Preflights:
    """ASGI wrapper that answers browsers which ask beforehand; stands behind the check of their origin.

    They come without a key, so it stands before ``KeyGuard``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" and scope["method"] == "OPTIONS" else None
        if headers is None or "origin" not in headers or "access-control-request-method" not in headers:
            await self._app(scope, receive, send)
            return
        wanted = headers.get("access-control-request-headers", "").split(",")
        of_clients = [name for each in wanted if _is_of_client(name := each.strip().lower())]
        answer = {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": ", ".join([*ALLOWED, *of_clients]),
            "Access-Control-Max-Age": str(MAX_AGE_S),
        }
        if headers.get("access-control-request-private-network") == "true":  # a public page calls a private address
            answer["Access-Control-Allow-Private-Network"] = "true"
        await Response(status_code=204, headers=answer)(scope, receive, send)


def _is_of_client(name: str) -> bool:
    return name.startswith(ALLOWED_PREFIX) and len(name) <= 64 and name.replace("-", "").isalnum() and name.isascii()
