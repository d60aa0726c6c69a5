"""``/v1/sessions``: which conversations a key keeps here, and their end. What was said is not shown: it is sealed."""

from __future__ import annotations

from datetime import UTC, datetime

import trio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from peernode.edge.auth import caller_of
from peernode.edge.services import EdgeServices
from peernode.edge.sessions.errors import UnknownSession
from peernode.edge.sessions.memory import SessionName, read_session_id
from peernode.edge.sessions.session import owner_of


def sessions_router(services: EdgeServices) -> APIRouter:
    """The routes over ``services.sessions``; none where the node keeps nothing."""
    router = APIRouter(prefix="/v1/sessions", tags=["Sessions"])
    sessions = services.sessions
    if sessions is None:
        return router
    store = sessions.store

    @router.get("", summary="The conversations that this key keeps here")
    async def kept(request: Request) -> Response:
        found = await trio.to_thread.run_sync(store.list, owner_of(caller_of(request.scope)))
        rows = [
            {
                "object": "session",
                "session_id": each.id,
                "bytes": each.size,
                "last_used": _iso(each.used_s),
                "kept_until": _iso(each.used_s + store.days * 86_400),
            }
            for each in found
        ]
        return JSONResponse({"object": "list", "data": rows}, headers={"Cache-Control": "no-store"})

    @router.delete("/{session_id}", summary="Forget a conversation")
    async def forget(request: Request, session_id: str) -> Response:
        name = SessionName(owner_of(caller_of(request.scope)), read_session_id(session_id))
        if not await trio.to_thread.run_sync(store.delete, name):
            raise UnknownSession("This key has no such session.", cause=name.id)
        return JSONResponse({"object": "session", "session_id": name.id, "deleted": True})

    return router


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
