"""``/healthz`` (the process answers) and ``/readyz`` (a job sent now could be taken), for supervisors and balancers."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from peernode.edge.answers import RETRY_AFTER_S
from peernode.edge.services import EdgeServices


def health_router(services: EdgeServices) -> APIRouter:
    """The two probes over ``services.ready``."""
    router = APIRouter(tags=["Health"])

    @router.get("/healthz", summary="Alive")
    async def healthz() -> Response:
        return JSONResponse({"status": "alive"})

    @router.get("/readyz", summary="Ready to take jobs")
    async def readyz() -> Response:
        state = services.ready()
        body = {"status": "ready" if state.ready else "not ready", "reasons": list(state.reasons)}
        if state.ready:
            return JSONResponse(body)
        return JSONResponse(body, 503, {"Retry-After": str(RETRY_AFTER_S)})

    return router
