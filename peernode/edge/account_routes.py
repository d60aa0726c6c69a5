"""What a key's holder sees of its account: ``GET /v1/usage``, ``GET /api/v1/key`` and ``GET /api/v1/generation``.

The first is Pinaivu's, the others are OpenRouter's, each with more beside. All amounts are credits.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from peernode.chat.errors import BadRequest
from peernode.edge.account_view import generation_object, key_object, usage_object
from peernode.edge.auth import Caller, caller_of
from peernode.edge.errors import UnknownReceipt
from peernode.edge.services import REQUEST_PREFIX, EdgeServices
from peernode.ledger.client_key import ClientKey
from peernode.ledger.client_records import ClientRequest
from peernode.market.client_errors import MissingKey, NotYours

USUAL_DAYS = 30
# No year so early that the days before it have no name.
DAY = re.compile(
    "(?:19|20)[0-9]{2}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-9])|(?:0[13-9]|1[0-2])-30|(?:0[13578]|1[02])-31)"
)
MAX_DAYS = 366
_ID_PREFIXES = ("chatcmpl-", "cmpl-", "gen-", "resp_", REQUEST_PREFIX)


def account_router(services: EdgeServices) -> APIRouter:
    """The routes over ``services.accounts``."""
    router = APIRouter(tags=["Account"])

    @router.get("/v1/usage", summary="What this key used, by day and by model")
    async def usage(
        request: Request,
        start_date: str = "",
        end_date: str = "",
        model: str = "",
        days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = USUAL_DAYS,
    ) -> Response:
        key = _key_of(caller_of(request.scope))
        last = _read_day(end_date, "end_date") or datetime.fromtimestamp(services.clock(), UTC).date()
        first = _read_day(start_date, "start_date") or last - timedelta(days=days - 1)
        used = await services.accounts.usage(key.id, first_day=first.isoformat(), last_day=last.isoformat())
        standing = await services.accounts.standing(key.id)
        rows = [row for row in used if not model or row.model == model]
        return JSONResponse(usage_object(key, standing, rows, first=first, last=last), headers=_FRESH)

    @router.get("/api/v1/key", summary="This key: its limits and what is left")
    async def key(request: Request) -> Response:
        own = _key_of(caller_of(request.scope))
        return JSONResponse({"data": key_object(own, await services.accounts.standing(own.id))}, headers=_FRESH)

    @router.get("/api/v1/generation", summary="One answer and what it cost")
    async def generation(request: Request, id: str) -> Response:  # noqa: A002  # the parameter's name in the API
        request_id = request_id_in(id)
        asked = await services.accounts.request(request_id)
        check_owner(asked, caller_of(request.scope))
        records = [record for record in await services.receipts.find(request_id) if record.countersignature is not None]
        if not records:
            raise UnknownReceipt("This node has no finished answer of this id.", cause=id[:64])
        return JSONResponse({"data": generation_object(request_id, asked, records)})

    return router


_FRESH = {"Cache-Control": "no-store"}


def check_owner(asked: ClientRequest | None, caller: Caller) -> None:
    """Raises NotYours when a key paid for the request, and the caller has another or none.

    Whoever asked without a key has nothing but the request's id to show, which nobody can guess.
    """
    if asked is None or caller.operator or (caller.key is not None and caller.key.id == asked.key_id):
        return
    raise NotYours("This belongs to another key.", cause=asked.request_id, remedy="Send the key that made the request.")


def request_id_in(text: str) -> str:
    """The request id behind any dialect's name for an answer."""
    prefix = next((prefix for prefix in _ID_PREFIXES if text.startswith(prefix)), "")
    return REQUEST_PREFIX + text[:64].removeprefix(prefix)


def _key_of(caller: Caller) -> ClientKey:
    if caller.key is None:
        raise MissingKey("This is about a key's account.", remedy="Send the key: Authorization: Bearer sk-pn-…")
    return caller.key


def _read_day(text: str, param: str) -> date | None:
    if not text:
        return None
    day, _, _ = text.partition("T")
    try:
        return date.fromisoformat(day if DAY.fullmatch(day) else "")
    except ValueError:
        raise BadRequest(f"{param} is not a date like 2026-01-31.", param=param) from None
