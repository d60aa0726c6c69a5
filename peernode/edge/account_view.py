"""A client's account in readable fields, for JSON over HTTP and on the command line. Pure; all amounts are credits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from peernode.ledger.client_key import ClientKey
from peernode.ledger.client_records import ClientRequest, DayUse, Standing

if TYPE_CHECKING:
    from peernode.ledger import ReceiptRecord

MICRO = 1_000_000
_REQUEST_PREFIX = "req_"


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
        **standing_object(key, standing),
        "limits": limits_object(key),
    }


def standing_object(key: ClientKey, standing: Standing) -> dict[str, Any]:
    """What a key has left, and what it has spent; an unlimited one has no balance to run out of."""
    return {
        "balance": None if key.limits.unlimited else _credits(standing.balance),
        "held": _credits(standing.held),
        "spent": _credits(standing.spent),
        "spent_today": _credits(standing.spent_today),
        "spent_this_month": _credits(standing.spent_this_month),
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
        "id": f"gen-{request_id.removeprefix(_REQUEST_PREFIX)}",
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
