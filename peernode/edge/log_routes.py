"""The admin route of logs: holding a peer's log against its own words, now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response


class LogView(Protocol):
    """Asks a peer about its log; the outcome as JSON as it stands."""

    async def audit(self, peer: str) -> Mapping[str, Any]: ...


def log_router(logs: LogView) -> APIRouter:
    router = APIRouter(prefix="/admin")

    @router.post("/logs/{peer}/audit")
    async def audit(peer: str) -> Response:
        return JSONResponse(await logs.audit(peer))

    return router
