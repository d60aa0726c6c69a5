"""Receipts as explorers of this family of networks show them: ``/api/r/{id}`` and ``/api/recent``.

Receipts hold digests, never words. What a key paid for is shown to that key alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from peernode.edge.account_routes import check_owner, request_id_in
from peernode.edge.auth import Caller, caller_of
from peernode.edge.errors import UnknownReceipt
from peernode.edge.receipts import MICRO, receipts_object
from peernode.edge.services import EdgeServices
from peernode.market.client_errors import NotYours

if TYPE_CHECKING:
    from peernode.ledger import ReceiptRecord

MAX_RECENT = 100
MAX_OFFSET = 1000
_FRESH = {"Cache-Control": "no-store"}


def explorer_router(services: EdgeServices) -> APIRouter:
    """The routes over ``services.receipts``."""
    router = APIRouter(prefix="/api", tags=["Explorer"])

    @router.get("/r/{request_id}", summary="The receipts of one request, verified now, and what was paid")
    async def one(request: Request, request_id: str) -> Response:
        request_id = request_id_in(request_id)
        check_owner(await services.accounts.request(request_id), caller_of(request.scope))
        records = await services.receipts.find(request_id)
        if not records:
            raise UnknownReceipt("This node holds no receipt for this request.", cause=request_id[:64])
        return JSONResponse(explorer_object(records), headers=_FRESH)

    @router.get("/recent", summary="The newest receipts that the caller may see")
    async def recent(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=MAX_RECENT)] = 20,
        offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
    ) -> Response:
        caller = caller_of(request.scope)
        newest = await services.receipts.recent(offset + limit)
        rows = [await _shown(services, record, caller) for record in newest[offset:]]
        body = {"receipts": [row for row in rows if row is not None], "limit": limit, "offset": offset}
        return JSONResponse(body, headers=_FRESH)

    return router


async def _shown(services: EdgeServices, record: ReceiptRecord, caller: Caller) -> dict[str, Any] | None:
    """The row as ``caller`` may see it, if at all.

    The name of a request that no key paid for opens its receipts and its stream to whoever has it. So it is told to the
    operator only: to himself, or where all who come without a key are on this machine.
    """
    asked = await services.accounts.request(record.request_id)
    try:
        check_owner(asked, caller)
    except NotYours:
        return None
    local = caller.key is None and services.anonymous == "loopback"
    return _row(record) | ({} if asked is not None or caller.operator or local else {"request_id": None})


def explorer_object(records: Sequence[ReceiptRecord]) -> dict[str, Any]:
    """All parts of one request, and one payment for each that was countersigned."""
    return {
        "receipt": {
            "request_id": records[0].request_id,
            "receipt_json": receipts_object(records),
            "created_at": records[-1].recorded_ms,
            "walrus_blob_id": None,
        },
        "payments": [
            {
                "payee": record.receipt.receipt.provider,
                "amount": record.receipt.receipt.credits / MICRO,
                "part": record.part,
                "digest": record.receipt.digest.hex(),
            }
            for record in records
            if record.countersignature is not None
        ],
    }


def _row(record: ReceiptRecord) -> dict[str, Any]:
    receipt = record.receipt.receipt
    return {
        "request_id": record.request_id,
        "part": record.part,
        "role": record.role,
        "node_id": receipt.provider,
        "coordinator": receipt.coordinator,
        "model": receipt.model_id,
        "prompt_tokens": receipt.prompt_tokens,
        "completion_tokens": receipt.completion_tokens,
        "amount": receipt.credits / MICRO,
        "countersigned": record.countersignature is not None,
        "digest": record.receipt.digest.hex(),
        "created_at": record.recorded_ms,
    }
