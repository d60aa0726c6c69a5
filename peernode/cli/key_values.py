"""Limits of a key as people write them on the command line. Each function raises BadParameter, naming the option."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

import typer

NONE = "none"
MICRO = 10**6
MOST_CREDITS = 10**12
MOST_DAYS = 36_500


def read_credits(text: str, option: str) -> int:
    """Credits, with up to six decimals, as micro-credits."""
    try:
        micro = Decimal(text.strip()) * MICRO
        fine = 0 <= micro <= MOST_CREDITS * MICRO and micro == micro.to_integral_value()
    except (InvalidOperation, ValueError):
        fine = False
    if not fine:
        raise typer.BadParameter("write a number of credits, with up to six decimals", param_hint=option)
    return int(micro)


def read_cap(text: str, option: str) -> int | None:
    """Credits as micro-credits, or none."""
    return None if text.strip() == NONE else read_credits(text, option)


def read_per_minute(text: str, option: str) -> int | None:
    """A whole number from 1, or none."""
    if text.strip() == NONE:
        return None
    if not (text.strip().isascii() and text.strip().isdigit()) or not 0 < int(text) < 1 << 31:
        raise typer.BadParameter("write a whole number from 1, or none", param_hint=option)
    return int(text)


def read_models(names: Sequence[str]) -> tuple[str, ...]:
    return () if list(names) == [NONE] else tuple(names)


def read_dialects(names: Sequence[str]) -> tuple[str, ...]:
    from peernode.ledger.client_key import DIALECTS

    if list(names) == [NONE]:
        return ()
    for name in names:
        if name not in DIALECTS:
            raise typer.BadParameter(f"there are {', '.join(DIALECTS)}", param_hint="--dialect")
    return tuple(names)


def read_expiry(text: str, now_ms: int) -> int | None:
    """A date or a time (UTC), a number of days like 30d, or none; as Unix milliseconds in the future."""
    text = text.strip()
    if text == NONE:
        return None
    try:
        if text.endswith("d"):
            days = int(text[:-1])
            moment = datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(days=days if days <= MOST_DAYS else 0)
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        expires_ms = int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        expires_ms = 0
    if expires_ms <= now_ms:
        raise typer.BadParameter("write a coming date like 2030-12-31, days like 30d, or none", param_hint="--expires")
    return expires_ms
