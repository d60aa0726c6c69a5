"""Options of ``peernode keys`` that set limits, and what becomes of a key's limits by those that were named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peernode.cli.key_values import read_cap, read_dialects, read_expiry, read_models, read_per_minute

if TYPE_CHECKING:
    from peernode.ledger.client_key import KeyLimits

NONE_HELP = '"none" takes the limit away.'
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Its id, or its name if no other key has it.")]
LedgerOption = Annotated[
    str,
    typer.Option(
        "--ledger",
        envvar="PEERNODE_LEDGER_URL",
        metavar="URL",
        help="A ledger in PostgreSQL.",
        show_default="the home's",
    ),
]
DayCapOption = Annotated[str | None, typer.Option("--day-cap", metavar="CREDITS", help=f"Most in a day. {NONE_HELP}")]
MonthCapOption = Annotated[
    str | None, typer.Option("--month-cap", metavar="CREDITS", help=f"Most in a month. {NONE_HELP}")
]
RequestsOption = Annotated[
    str | None, typer.Option("--requests-per-minute", metavar="N", help=f"Most requests. {NONE_HELP}")
]
TokensOption = Annotated[
    str | None, typer.Option("--tokens-per-minute", metavar="N", help=f"Most tokens, prompts included. {NONE_HELP}")
]
ModelsOption = Annotated[
    list[str] | None, typer.Option("--model", metavar="NAME", help=f"Only this; org/* is fine. Repeatable. {NONE_HELP}")
]
DialectsOption = Annotated[
    list[str] | None,
    typer.Option("--dialect", metavar="openai|openrouter|peerwave", help=f"Only this API. Repeatable. {NONE_HELP}"),
]
ExpiresOption = Annotated[
    str | None, typer.Option("--expires", metavar="DATE|30d", help=f"When it ends, UTC. {NONE_HELP}")
]


def changed(
    limits: KeyLimits,
    now_ms: int,
    *,
    day_cap: str | None,
    month_cap: str | None,
    requests_per_minute: str | None,
    tokens_per_minute: str | None,
    models: list[str] | None,
    dialects: list[str] | None,
    expires: str | None,
) -> KeyLimits:
    """``limits`` with those that were named in place of its own."""
    named: dict[str, Any] = {}
    if day_cap is not None:
        named["day_cap"] = read_cap(day_cap, "--day-cap")
    if month_cap is not None:
        named["month_cap"] = read_cap(month_cap, "--month-cap")
    if requests_per_minute is not None:
        named["requests_per_minute"] = read_per_minute(requests_per_minute, "--requests-per-minute")
    if tokens_per_minute is not None:
        named["tokens_per_minute"] = read_per_minute(tokens_per_minute, "--tokens-per-minute")
    if models:
        named["models"] = read_models(models)
    if dialects:
        named["dialects"] = read_dialects(dialects)
    if expires is not None:
        named["expires_ms"] = read_expiry(expires, now_ms)
    return replace(limits, **named)
