"""The public HTTP app: routes over the services, inside the layers that every request passes.

Outside in: ``CorsHeaders`` (for pages of other origins), ``Boundary`` (name, last resort), ``Intake`` (the whole body),
``HostGuard`` (by which name, and from which page, it is called), ``SealedRequests`` (what nobody on the way may read),
``KeyGuard`` (who calls), ``IdempotencyKeys`` (whether it was asked before), ``Turns`` (how much at once), the routes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp

from peernode import __version__
from peernode.chat.errors import BadRequest
from peernode.edge.account_routes import account_router
from peernode.edge.answers import error_response
from peernode.edge.auth import KeyGuard
from peernode.edge.boundary import Boundary, request_id_of
from peernode.edge.completions.routes import completions_router
from peernode.edge.cors import CorsHeaders, Origins, Preflights
from peernode.edge.document.page import document_router
from peernode.edge.errors import EdgeError, MethodRefused, NoSuchRoute
from peernode.edge.explorer.nodes import nodes_router
from peernode.edge.explorer.receipts import explorer_router
from peernode.edge.health import health_router
from peernode.edge.hosts import HostGuard
from peernode.edge.idempotency.kept_answers import KeptAnswers
from peernode.edge.idempotency.layer import IdempotencyKeys
from peernode.edge.identity import identity_router
from peernode.edge.intake import BODY_S, Intake
from peernode.edge.openai.embeddings import embeddings_router
from peernode.edge.openai.routes import openai_router
from peernode.edge.openrouter.routes import openrouter_router
from peernode.edge.page.routes import page_router
from peernode.edge.peerwave.login import LoginGuide, login_router
from peernode.edge.peerwave.routes import peerwave_router
from peernode.edge.peerwave.tool_routes import tools_router
from peernode.edge.receipts import receipts_router
from peernode.edge.responses.routes import responses_router
from peernode.edge.sealed.layer import SealedRequests
from peernode.edge.services import EdgeServices
from peernode.edge.sessions.routes import sessions_router
from peernode.edge.streams.routes import streams_router
from peernode.edge.turns import TurnLimits, Turns
from peernode.errors import PeernodeError
from peernode.wire.bounds import MAX_BODY_BYTES


@dataclass(frozen=True, slots=True)
class AppLimits:
    """How large a request's body may be, the seconds that it may take to come, and how many requests at once."""

    body_bytes: int = MAX_BODY_BYTES
    body_s: float = BODY_S
    turns: TurnLimits = field(default_factory=TurnLimits)


def build_app(
    services: EdgeServices,
    *,
    hosts: Iterable[str] = (),
    addresses: bool = False,
    origins: Iterable[str] = (),
    limits: AppLimits | None = None,
) -> ASGIApp:
    """The public app. ``hosts`` are Host names to answer to besides the loopback ones; ``addresses``: so is any IP.

    ``origins`` are those of pages from elsewhere that may use it; ``*`` for all.
    """
    app = routed_app(
        "peernode",
        [
            # Before OpenAI's own: its models may have any name.
            openrouter_router(services),
            openai_router(services),
            completions_router(services),
            responses_router(services),
            embeddings_router(services),
            receipts_router(services),
            streams_router(services),
            sessions_router(services),
            account_router(services),
            peerwave_router(services),
            tools_router(services),
            login_router(),
            nodes_router(services),
            explorer_router(services),
            health_router(services),
            identity_router(services),
            page_router(),
        ],
    )
    app.include_router(document_router(app, anonymous=services.anonymous != "no"))
    limits, allowed = limits or AppLimits(), Origins(origins)
    once = IdempotencyKeys(Turns(app, limits.turns), KeptAnswers())
    guarded = KeyGuard(once, services.accounts, services.anonymous, services.clock)
    opened = SealedRequests(guarded, services.sealing, services.clock)
    layers = layered(opened, services.new_request_id, hosts, addresses=addresses, origins=allowed, limits=limits)
    return CorsHeaders(LoginGuide(layers), allowed)


def layered(
    app: ASGIApp,
    new_request_id: Callable[[], str],
    hosts: Iterable[str] = (),
    *,
    addresses: bool = False,
    origins: Origins | None = None,
    limits: AppLimits | None = None,
) -> ASGIApp:
    """``app`` inside the layers that every request passes."""
    limits = limits or AppLimits()
    named = HostGuard(Preflights(app), frozenset(hosts), addresses=addresses, origins=origins)
    return Boundary(Intake(named, limits.body_bytes, limits.body_s), new_request_id)


def routed_app(title: str, routers: Iterable[APIRouter]) -> FastAPI:
    """A FastAPI app whose every refusal has our error body."""
    app = FastAPI(title=title, version=__version__, openapi_url=None, redirect_slashes=False)
    included = list(routers)
    for router in included:
        app.include_router(router)
    app.state.routes = [route for router in included for route in router.routes]
    app.add_exception_handler(PeernodeError, _answer)
    app.add_exception_handler(HTTPException, _answer)
    app.add_exception_handler(RequestValidationError, _answer)
    return app


async def _answer(request: Request, error: Exception) -> Response:
    return error_response(_typed(request, error), request_id_of(request.scope))


def _typed(request: Request, error: Exception) -> PeernodeError:
    """The framework's own refusals, in our terms."""
    if isinstance(error, PeernodeError):
        return error
    if isinstance(error, RequestValidationError):
        return BadRequest("The request is not valid.", param=".".join(str(at) for at in error.errors()[0]["loc"]))
    path = request.url.path[:200]
    if isinstance(error, HTTPException) and error.status_code == 404:
        return NoSuchRoute("There is nothing at this path.", cause=path, remedy="GET /docs lists the routes.")
    if isinstance(error, HTTPException) and error.status_code == 405:
        return MethodRefused(
            "This path does not take this method.", allow=_methods_of(request), cause=f"{request.method} {path}"
        )
    if isinstance(error, HTTPException) and error.status_code == 400:
        return BadRequest("The request is not valid.", cause=str(error.detail)[:200])
    return EdgeError("The node met an error of its own.", cause=type(error).__name__)


def _methods_of(request: Request) -> str:
    """All methods that the path takes; a path may have several routes."""
    routes: Iterable[BaseRoute] = request.app.state.routes
    found = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return ", ".join(sorted({method for route in found for method in getattr(route, "methods", None) or ()}))
