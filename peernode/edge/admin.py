"""The operator's app: what this node is and knows, and the public routes again, all behind one bearer token.

Runs on a loopback port of its own, so that ``--no-http`` leaves the command line working. Anyone who can read the
token's file (0600 in the node's home) is the operator.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from peernode.edge.app import layered, routed_app
from peernode.edge.auth import OperatorPass
from peernode.edge.errors import TokenRefused
from peernode.edge.openai.chat_request import read_chat_call
from peernode.edge.openai.embeddings import embeddings_router
from peernode.edge.openai.routes import openai_router
from peernode.edge.peer_names import with_whole_ids
from peernode.edge.receipts import receipts_router
from peernode.edge.services import AdminServices, EdgeServices

# Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/
MAX_PINGS = 100
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def build_admin_app(
    services: EdgeServices, admin: AdminServices, token: str, *, further: Sequence[APIRouter] = ()
) -> ASGIApp:
    """The admin app. ``token`` must be long and random; whoever holds it may use every route."""
    if len(token) < 32:
        raise ValueError("an admin token has at least 32 characters")
    routers = [
        _admin_router(services, admin),
        openai_router(services),
        embeddings_router(services),
        receipts_router(services),
        *further,
    ]
    app = routed_app("peernode admin", routers)
    return layered(TokenGuard(OperatorPass(app), token), services.new_request_id)


class TokenGuard:
    """ASGI wrapper that raises TokenRefused unless the request carries ``Authorization: Bearer`` and the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            offered = Headers(scope=scope).get("authorization", "").encode("latin-1", "replace")
            if not hmac.compare_digest(offered, self._expected):
                raise TokenRefused(
                    "The admin API needs this node's token.", remedy="Read it from admin.json in the node's home."
                )
        await self._app(scope, receive, send)


def _admin_router(services: EdgeServices, admin: AdminServices) -> APIRouter:
    router = APIRouter(prefix="/admin")

    def serves(path: str, read: Callable[[], object]) -> None:
        async def handler() -> Response:
            return JSONResponse(read())

        router.add_api_route(path, handler, methods=["GET"])

    serves("/status", admin.status)
    serves("/models", admin.models)
    serves("/peers", admin.peers)

    @router.get("/ping")
    async def ping(peer: str, count: Annotated[int, Query(ge=1, le=MAX_PINGS)] = 5) -> Response:
        return JSONResponse(await admin.ping(peer, count))

    @router.post("/route")
    async def route(request: Request) -> Response:
        """How the provider of a chat with this body would be chosen now, for each of the models that it names."""
        call = read_chat_call(await request.body())
        wishes = with_whole_ids(call.wishes, services.peers)
        return JSONResponse([admin.route(model, call.request, wishes) for model in (call.model, *wishes.models)])

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(admin.metrics(), media_type=METRICS_TYPE)

    return router
