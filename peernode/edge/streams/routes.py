"""``GET /v1/streams/{request_id}?from=N``: the rest of a stream that was asked for with ``resumable``."""

from __future__ import annotations

from typing import Annotated

import trio
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from peernode.edge.account_routes import request_id_in
from peernode.edge.auth import caller_of
from peernode.edge.errors import UnknownReceipt
from peernode.edge.services import EdgeServices
from peernode.edge.streams.kept import ReplayResponse
from peernode.edge.streams.tape import KEPT_S
from peernode.market.client_errors import NotYours

MAX_EVENTS = 1 << 31


class UnknownStream(UnknownReceipt):
    code = "unknown_stream"


class NotYourStream(NotYours):
    code = "not_your_stream"


def streams_router(services: EdgeServices) -> APIRouter:
    """The route over ``services.streams``."""
    router = APIRouter(prefix="/v1", tags=["Streams"])

    @router.get("/streams/{request_id}", summary="The events of a resumable stream, from the N-th on")
    async def stream(
        request: Request,
        request_id: str,
        first: Annotated[int, Query(alias="from", ge=0, le=MAX_EVENTS, description="How many events came.")] = 0,
    ) -> Response:
        tape = services.streams.find(request_id_in(request_id), trio.current_time())
        if tape is None:
            raise UnknownStream(
                "There is no such stream, or no longer.",
                cause=request_id[:64],
                remedy=f'Ask with "resumable": true, and come back within {KEPT_S:g} s.',
            )
        caller = caller_of(request.scope)
        if tape.owner and not caller.operator and (caller.key is None or caller.key.id != tape.owner):
            raise NotYourStream(
                "This belongs to another key.", cause=tape.request_id, remedy="Send the key that asked for it."
            )
        return ReplayResponse(tape, first)

    return router
