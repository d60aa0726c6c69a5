"""Admin routes of the recovery: what is open, and asking about it now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response


class RecoveryView(Protocol):
    """Parts of jobs whose receipts are still missing, as JSON as it stands."""

    async def open_parts(self) -> Sequence[Mapping[str, Any]]: ...

    async def look(self) -> Sequence[Mapping[str, Any]]: ...


def recovery_router(recovery: RecoveryView) -> APIRouter:
    """``GET`` shows what is open, ``POST`` asks the other parties now and then shows what came of it."""
    router = APIRouter(prefix="/admin")

    @router.get("/recovery")
    async def open_parts() -> Response:
        return JSONResponse({"open": await recovery.open_parts()})

    @router.post("/recovery")
    async def look() -> Response:
        asked = await recovery.look()
        return JSONResponse({"asked": asked, "open": await recovery.open_parts()})

    return router
