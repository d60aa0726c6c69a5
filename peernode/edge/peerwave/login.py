"""Peerwave's login: a page where a key is entered, and which sends the browser back with ``#token=<key>``.

The key is not judged here, so that nobody can try keys without the guard's counting: the app's next call does. What
follows ``#`` stays in the browser. ``LoginGuide`` tells those who lack a key, or credit, where the page is.
"""

from __future__ import annotations

import html
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peernode.chat.errors import BadRequest
from peernode.edge.bind import is_loopback
from peernode.edge.dialects import dialect_of
from peernode.edge.hosts import hostname_of
from peernode.ledger.client_key import read_key_text

PATH = "/api/third-party/auth"
MAX_URL = 2048
_NEEDS_LOGIN = (401, 402)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    # Not no-referrer: browsers would then send the form with the origin "null".
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def login_router() -> APIRouter:
    """The page, and where its form goes."""
    router = APIRouter(tags=["Peerwave"])

    @router.get(PATH, summary="A page that asks for a key and gives it to an app of this machine")
    async def page(request: Request, redirect: str) -> Response:
        return HTMLResponse(_page(_destination(redirect, request.headers)), headers=_HEADERS)

    @router.post(PATH, summary="Go back to the app, with the key")
    async def back(request: Request) -> Response:
        form = parse_qs((await request.body())[: 4 * MAX_URL].decode("utf-8", "replace"))
        destination = _destination(form.get("redirect", [""])[0], request.headers)
        key = read_key_text(form.get("key", [""])[0].strip())
        if key is None:
            return HTMLResponse(_page(destination, "This is not a key. Check that it was copied whole."), 400, _HEADERS)
        return Response(status_code=303, headers={**_HEADERS, "Location": f"{destination}#token={key.text}"})

    return router


class LoginGuide:
    """ASGI wrapper: what Peerwave's clients are refused for want of a key or credit says where to get one.

    ``Location`` names the page; the app to come back to is the one that ``Origin`` and ``Redirect`` name.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or dialect_of(scope["path"]) != "peerwave":
            await self._app(scope, receive, send)
            return

        async def send_guided(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in _NEEDS_LOGIN:
                message["headers"] = [*message["headers"], (b"location", _login_url(scope).encode("ascii"))]
            await send(message)

        await self._app(scope, receive, send_guided)


def _login_url(scope: Scope) -> str:
    headers = Headers(scope=scope)
    own = f"{scope['scheme']}://{headers.get('host', '')}"
    back = headers.get("redirect", "")
    if not back.startswith(("http://", "https://")):
        origin = headers.get("origin", own)
        back = f"{origin if origin != 'null' else own}/{back.lstrip('/')}"
    page = quote(own, safe=":/[]")
    return f"{page}{PATH}?{urlencode({'redirect': back[:MAX_URL]})}"


def _destination(redirect: str, headers: Headers) -> str:
    """``redirect`` without its fragment. Raises BadRequest unless this machine or this server serves it.

    A page anywhere else may not ask for keys: its users could not tell it from one that steals them.
    """
    try:
        parts = urlsplit(redirect)
        host = hostname_of(parts.netloc)
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https") or len(redirect) > MAX_URL:
        raise BadRequest("redirect must be the URL of the app to come back to.", param="redirect")
    if not is_loopback(host) and host != hostname_of(headers.get("host", "")):
        raise BadRequest(
            "redirect leads to another machine.",
            param="redirect",
            cause=host[:100],
            remedy="Only apps on this machine, or of this server, may have a key from here.",
        )
    plain = urlunsplit((parts.scheme, parts.netloc, parts.path, parts.query, ""))
    return quote(plain, safe=":/?[]@!$&'()*+,;=%-._~")


def _page(destination: str, problem: str = "") -> str:
    to = html.escape(destination, quote=True)
    app = html.escape(urlsplit(destination).netloc)
    said = f'<p role="alert"><strong>{html.escape(problem)}</strong></p>' if problem else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log in</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}}
input,button{{font:inherit;padding:.5rem;width:100%;box-sizing:border-box;margin:.25rem 0 1rem}}</style></head>
<body><h1>Log in</h1>
<p>The app at <strong>{app}</strong> asks to use this node on your account. Whoever has your key can spend your
credits.</p>{said}
<form method="post" action="{PATH}"><input type="hidden" name="redirect" value="{to}">
<label>Your key <input name="key" type="password" autocomplete="off" placeholder="sk-pn-…" required autofocus></label>
<button>Give the app my key</button></form></body></html>
"""
