"""``/docs`` and ``/openapi.json``: Swagger UI, and all that it loads comes from this node.

FastAPI's own page would fetch its script from a foreign host: a network without internet would see nothing, and one
with internet would tell that host who reads it. The assets are those that the package fastapi-offline brings.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, Response

from peernode.edge.document.document import document_of

PAGE, DOCUMENT = "/docs", "/openapi.json"
_SCRIPT, _STYLE, _START = "swagger-ui-bundle.js", "swagger-ui.css", "start.js"
_TYPES = {_SCRIPT: "text/javascript", _STYLE: "text/css", _START: "text/javascript"}
OPEN = frozenset({PAGE, DOCUMENT, *(f"{PAGE}/{name}" for name in _TYPES)})
_HTML = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>peernode: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="{PAGE}/{_STYLE}"></head>
<body><div id="api"><p>The document itself: <a href="{DOCUMENT}">{DOCUMENT}</a></p></div>
<script src="{PAGE}/{_SCRIPT}"></script><script src="{PAGE}/{_START}"></script></body></html>
"""
# Without validatorUrl, the page would show every document to a foreign host.
_STARTING = f"""SwaggerUIBundle({{url: "{DOCUMENT}", dom_id: "#api", deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis]}});
"""
_HEADERS = {
    "Cache-Control": "no-cache",
    # Swagger UI styles its elements one by one.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def document_router(app: FastAPI, *, anonymous: bool) -> APIRouter:
    """The page, its assets, and the document of ``app``, which is written when it is first asked for."""
    router = APIRouter(include_in_schema=False)

    @cache
    def document() -> bytes:
        """As it is sent: to write it takes longer than most answers, and anybody may ask for it."""
        return bytes(JSONResponse(document_of(app, anonymous=anonymous)).body)

    @router.get(DOCUMENT)
    async def openapi() -> Response:
        return Response(document(), media_type="application/json", headers={"Cache-Control": "no-cache"})

    @router.get(PAGE)
    async def page() -> Response:
        return HTMLResponse(_HTML, headers=_HEADERS)

    def serves(name: str) -> None:
        async def asset() -> Response:
            return Response(_asset(name), media_type=_TYPES[name], headers=_HEADERS)

        router.add_api_route(f"{PAGE}/{name}", asset, methods=["GET"])

    for name in _TYPES:
        serves(name)
    return router


@cache
def _asset(name: str) -> bytes:
    if name == _START:
        return _STARTING.encode()
    return files("fastapi_offline").joinpath("static", name).read_bytes()
