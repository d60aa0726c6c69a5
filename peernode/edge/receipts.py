"""``GET /v1/receipts/{request_id}``: what was signed, the exact bytes, the signatures, and the checks made just now.

The flat keys are those of the documented receipt API of this family; ``parts`` holds one entry for each provider
that worked on the answer, and the top level repeats the last of them.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from peernode.edge.account_routes import check_owner
from peernode.edge.auth import caller_of
from peernode.edge.errors import UnknownReceipt
from peernode.edge.receipt_view import countersignature_fields, receipt_fields
from peernode.edge.services import EdgeServices
from peernode.market.verification import verify_receipt
from peernode.wire.envelope import Envelope, signed_bytes
from peernode.wire.identity import public_key_of

if TYPE_CHECKING:
    from peernode.ledger import ReceiptRecord

MICRO = 1_000_000


def receipts_router(services: EdgeServices) -> APIRouter:
    """The receipt route over ``services.receipts``."""
    router = APIRouter(prefix="/v1", tags=["Receipts"])

    @router.get("/receipts/{request_id}", summary="The receipts of one request, verified now")
    async def receipts(request: Request, request_id: str) -> Response:
        check_owner(await services.accounts.request(request_id), caller_of(request.scope))
        records = await services.receipts.find(request_id)
        if not records:
            raise UnknownReceipt(
                "This node holds no receipt for this request.",
                cause=request_id[:64],
                remedy="Ask the node that answered the request, or the provider.",
            )
        return JSONResponse(receipts_object(records))

    return router


def receipts_object(records: Sequence[ReceiptRecord]) -> dict[str, Any]:
    """The JSON of all parts of one request."""
    parts = [_part_object(record) for record in sorted(records, key=lambda record: record.part)]
    paid = sum(record.receipt.receipt.credits for record in records if record.countersignature is not None)
    return {**parts[-1], "payment_amount": paid / MICRO, "parts": parts}


def _part_object(record: ReceiptRecord) -> dict[str, Any]:
    receipt, made = record.receipt.receipt, record.countersignature
    checks = verify_receipt(record.receipt.raw, made.raw if made else None)
    return {
        "request_id": receipt.request_id,
        "part": receipt.part,
        "node_id": receipt.provider,
        "model": receipt.model_id,
        "timestamp": _iso(receipt.finished_ms),
        "payment_amount": receipt.credits / MICRO if made else 0.0,
        "coordinator_signature": f"0x{made.envelope.signature.hex()}" if made else None,
        "role": record.role,
        "refused": record.refused,
        "digest": record.receipt.digest.hex(),
        "receipt": receipt_fields(receipt),
        "canonical": _canonical(record.receipt.envelope),
        "countersignature": countersignature_fields(made.countersignature) if made else None,
        "countersignature_canonical": _canonical(made.envelope) if made else None,
        "signatures": _signatures(record),
        "verified": {
            "ok": all(check.passed for check in checks),
            "checks": [{"name": check.name, "passed": check.passed, "detail": check.detail} for check in checks],
        },
    }


def _signatures(record: ReceiptRecord) -> list[dict[str, str]]:
    """Each signature with the key that made it, as hex; the key is also inside that side's peer id."""
    receipt, made = record.receipt.receipt, record.countersignature
    by = [("node", receipt.provider, record.receipt.envelope)]
    if made is not None:
        by.append(("edge", made.countersignature.coordinator, made.envelope))
    return [
        {"role": role, "peer": peer, "key": public_key_of(peer).hex(), "sig": envelope.signature.hex()}
        for role, peer, envelope in by
    ]


def _canonical(envelope: Envelope) -> str:
    """Base64 of the exact bytes under the signature, domain tag included."""
    return base64.b64encode(signed_bytes(envelope.kind, envelope.body)).decode("ascii")


def _iso(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # a provider's clock may say anything that fits 63 bits
        return ""
