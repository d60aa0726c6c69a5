"""``GET /v1/identity``: who this node is, in its own signed words, fresh for the asker's nonce.

It is answered without a key: whoever is about to send one wants to know first to whom. Reports of confidential hardware
are made for a nonce only, one at a time and not often, for they cost the machine more than a signature.
"""

from __future__ import annotations

from typing import Annotated

import trio
from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from peernode.chat.errors import BadRequest
from peernode.edge.errors import NoSuchRoute
from peernode.edge.identity_object import Attested, Unattested, identity_object
from peernode.edge.limits import ASK_LATER, Limited, MinuteBucket
from peernode.edge.services import EdgeServices
from peernode.wire.statement import MAX_NONCE_BYTES, report_data_of

PATH = "/v1/identity"
REPORTS_PER_MINUTE = 30


class TooManyReports(Limited):
    """The machine's hardware is asked for reports more often than it should be."""

    code = "too_many_reports"


def identity_router(services: EdgeServices) -> APIRouter:
    """The route over ``services.statements``."""
    router = APIRouter(tags=["Identity"])
    one_report = trio.Lock()
    reports = MinuteBucket(REPORTS_PER_MINUTE, services.clock())

    @router.get(PATH, summary="Who this node is, signed, with a report of its hardware where it has one")
    async def identity(nonce: Annotated[str, Query(max_length=2 * MAX_NONCE_BYTES)] = "") -> Response:
        statements = services.statements
        if statements is None:
            raise NoSuchRoute("This node says nothing of itself.")
        signed = statements.state(_read_nonce(nonce))
        attested: Attested | Unattested = Unattested("a report is made for a nonce: ask with ?nonce=HEX")
        if nonce:
            if statements.attests:
                _count(reports, services.clock())
            async with one_report:
                attested = await trio.to_thread.run_sync(statements.report, report_data_of(signed.envelope))
        return JSONResponse(identity_object(signed, attested), headers={"Cache-Control": "no-store"})

    return router


def _count(reports: MinuteBucket, now_s: float) -> None:
    if wait := reports.wait_s(1, now_s):
        raise TooManyReports(
            "This node's hardware has made its reports of this minute.", retry_after_s=wait, remedy=ASK_LATER
        )
    reports.take(1, now_s)


def _read_nonce(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BadRequest(
            "nonce must be hexadecimal.", param="nonce", remedy=f"Send up to {MAX_NONCE_BYTES} random bytes."
        ) from None
