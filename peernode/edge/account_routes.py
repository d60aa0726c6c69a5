"""What a key's holder sees of its account: ``GET /v1/usage``, ``GET /api/v1/key`` and ``GET /api/v1/generation``.

The first is Pinaivu's, the others are OpenRouter's, each with more beside. All amounts are credits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from peernode.chat.errors import BadRequest
from peernode.edge.auth import Caller, caller_of
from peernode.edge.errors import UnknownReceipt
from peernode.edge.services import REQUEST_PREFIX, EdgeServices
from peernode.ledger.client_key import ClientKey
from peernode.ledger.client_records import ClientRequest, DayUse, Standing
from peernode.market.client_errors import MissingKey, NotYours

if TYPE_CHECKING:
    from peernode.ledger import ReceiptRecord

MICRO = 1_000_000
USUAL_DAYS = 30
MAX_DAYS = 366
_ID_PREFIXES = ("chatcmpl-", "gen-", REQUEST_PREFIX)


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


def usage_object(
    key: ClientKey, standing: Standing, rows: Sequence[DayUse], *, first: date, last: date
) -> dict[str, Any]:
    """The JSON of ``GET /v1/usage``."""
    models = sorted({row.model for row in rows})
    days = sorted({row.day for row in rows})
    return {
        "start_date": first.isoformat(),
        "end_date": last.isoformat(),
        "total_requests": sum(row.requests for row in rows),
        "total_tokens": sum(_tokens(row) for row in rows),
        "total_cost": _credits(sum(row.credits for row in rows)),
        "by_model": [{"model": model, **_sums(row for row in rows if row.model == model)} for model in models],
        "by_day": [
            {
                "date": day,
                **_sums(row for row in rows if row.day == day),
                "by_model": [{"model": row.model, **_sums([row])} for row in rows if row.day == day],
            }
            for day in days
        ],
        "key": {"id": key.id, "name": key.name},
        "balance": None if key.limits.unlimited else _credits(standing.balance),
        "held": _credits(standing.held),
        "spent": _credits(standing.spent),
        "spent_today": _credits(standing.spent_today),
        "spent_this_month": _credits(standing.spent_this_month),
        "limits": limits_object(key),
    }


def limits_object(key: ClientKey) -> dict[str, Any]:
    """A key's limits, as its holder and its operator see them; null and empty mean none."""
    limits = key.limits
    return {
        "unlimited": limits.unlimited,
        "day_cap": None if limits.day_cap is None else _credits(limits.day_cap),
        "month_cap": None if limits.month_cap is None else _credits(limits.month_cap),
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "models": list(limits.models),
        "dialects": list(limits.dialects),
        "expires_at": _iso(limits.expires_ms),
    }


def key_object(key: ClientKey, standing: Standing) -> dict[str, Any]:
    """OpenRouter's ``GET /api/v1/key``: the narrowest limit in credits, and what is left of it."""
    limit, left, reset = _narrowest(key, standing)
    return {
        "label": key.name or key.id,
        "limit": limit,
        "limit_remaining": left,
        "limit_reset": reset,
        "usage": _credits(standing.spent),
        "usage_daily": _credits(standing.spent_today),
        "usage_weekly": _credits(standing.spent_this_week),
        "usage_monthly": _credits(standing.spent_this_month),
        "is_free_tier": False,
        "rate_limit": {"requests": key.limits.requests_per_minute, "interval": "1m"},
        "expires_at": _iso(key.limits.expires_ms),
    }


def generation_object(request_id: str, asked: ClientRequest | None, records: Sequence[ReceiptRecord]) -> dict[str, Any]:
    """OpenRouter's ``GET /api/v1/generation``, of all parts; ``records`` has at least one, in order of part."""
    receipts = [record.receipt.receipt for record in records]
    first, last = receipts[0], receipts[-1]
    paid = sum(receipt.credits for receipt in receipts) if asked is None else asked.charged
    completion = sum(receipt.completion_tokens for receipt in receipts)
    begun = next((receipt.first_token_ms for receipt in receipts if receipt.first_token_ms), last.finished_ms)
    return {
        "id": f"gen-{request_id.removeprefix(REQUEST_PREFIX)}",
        "request_id": request_id,
        "model": last.model_id,
        "provider_name": last.provider,
        "created_at": _iso(first.accepted_ms),
        "streamed": None if asked is None else asked.streamed,
        "cancelled": last.finish_reason == "cancelled",
        "latency": max(0, begun - first.accepted_ms),
        "generation_time": max(0, last.finished_ms - begun),
        "tokens_prompt": first.prompt_tokens,
        "tokens_completion": completion,
        "native_tokens_prompt": first.prompt_tokens,
        "native_tokens_completion": completion,
        "native_tokens_cached": first.cached_tokens,
        "finish_reason": last.finish_reason,
        "native_finish_reason": last.finish_reason,
        "total_cost": _credits(paid),
        "usage": _credits(paid),
    }


def _narrowest(key: ClientKey, standing: Standing) -> tuple[float | None, float | None, str | None]:
    """(limit, what is left of it, when it begins anew) of whichever leaves least."""
    limits = key.limits
    found: list[tuple[int, int, str | None]] = []
    if not limits.unlimited:
        found.append((standing.granted, standing.balance, None))
    if limits.day_cap is not None:
        found.append((limits.day_cap, limits.day_cap - standing.spent_today - standing.held, "daily"))
    if limits.month_cap is not None:
        found.append((limits.month_cap, limits.month_cap - standing.spent_this_month - standing.held, "monthly"))
    if not found:
        return None, None, None
    limit, left, reset = min(found, key=lambda entry: entry[1])
    return _credits(limit), _credits(max(left, 0)), reset


def _key_of(caller: Caller) -> ClientKey:
    if caller.key is None:
        raise MissingKey("This is about a key's account.", remedy="Send the key: Authorization: Bearer sk-pn-…")
    return caller.key


def _read_day(text: str, param: str) -> date | None:
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError:
        raise BadRequest(f"{param} is not a date like 2026-01-31.", param=param) from None


def _sums(rows: Iterable[DayUse]) -> dict[str, Any]:
    used = list(rows)
    return {
        "requests": sum(row.requests for row in used),
        "tokens": sum(_tokens(row) for row in used),
        "prompt_tokens": sum(row.prompt_tokens for row in used),
        "cached_tokens": sum(row.cached_tokens for row in used),
        "completion_tokens": sum(row.completion_tokens for row in used),
        "cost": _credits(sum(row.credits for row in used)),
    }


def _tokens(row: DayUse) -> int:
    return row.prompt_tokens + row.completion_tokens


def _credits(micro: int) -> float:
    return micro / MICRO


def _iso(ms: int | None) -> str | None:
    if ms is None:
        return None
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # a provider's clock may say anything that fits 63 bits
        return ""
