"""Credit between nodes, for the operator's own tools: what is owed, to whom and by whom, and settling it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from peernode.chat.errors import BadRequest
from peernode.edge.settlement import MICRO_DIGITS

MAX_HISTORY = 1000
MOST_SETTLED = 10**15


class CreditServices(Protocol):
    """What the node does for these routes. Everything returned is JSON as it stands; amounts are micro-credits."""

    async def balance(self) -> Mapping[str, Any]: ...

    async def peers(self) -> Sequence[Mapping[str, Any]]: ...

    async def history(self, about: str, limit: int) -> Sequence[Mapping[str, Any]]:
        """Postings to an account, or between this node and a peer; the newest first. Raises UnknownPeer."""
        ...

    async def settle(self, peer: str, amount: int, reference: str) -> Mapping[str, Any]:
        """Sign, post and deliver a settlement note. Raises UnknownPeer."""
        ...


class SettleCall(BaseModel):
    """``amount`` is in credits, as text: "2.5"."""

    model_config = ConfigDict(extra="forbid")

    peer: str = Field(max_length=64)
    amount: str = Field(max_length=32)
    reference: str = Field(default="", max_length=256)


def credit_router(credit: CreditServices) -> APIRouter:
    """The routes under /admin/credits."""
    router = APIRouter(prefix="/admin/credits")

    @router.get("")
    async def balance() -> Response:
        return JSONResponse(await credit.balance())

    @router.get("/peers")
    async def peers() -> Response:
        return JSONResponse(await credit.peers())

    @router.get("/history")
    async def history(about: str = "", limit: Annotated[int, Query(ge=1, le=MAX_HISTORY)] = 50) -> Response:
        return JSONResponse(await credit.history(about, limit))

    @router.post("/settle")
    async def settle(call: SettleCall) -> Response:
        return JSONResponse(await credit.settle(call.peer, read_credits(call.amount), call.reference))

    return router


def read_credits(text: str) -> int:
    """A positive decimal number of credits as micro-credits. Raises BadRequest."""
    try:
        micro = Decimal(text).scaleb(MICRO_DIGITS)
    except InvalidOperation:
        micro = Decimal("NaN")
    if not micro.is_finite() or micro != micro.to_integral_value() or not 0 < micro <= MOST_SETTLED:
        raise BadRequest(
            "This is no amount of credits.",
            param="amount",
            cause=text[:32],
            remedy="A number above zero, at most six decimal places.",
        )
    return int(micro)
