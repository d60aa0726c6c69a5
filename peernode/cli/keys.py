"""``peernode keys``: the API keys of clients, straight in the ledger; a node that runs beside it heeds them at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from peernode.cli.key_options import (
    DayCapOption,
    DialectsOption,
    ExpiresOption,
    KeyArgument,
    LedgerOption,
    ModelsOption,
    MonthCapOption,
    RequestsOption,
    TokensOption,
    changed,
)
from peernode.cli.key_values import read_credits
from peernode.cli.options import HomeOption, JsonOption, home_at

if TYPE_CHECKING:
    from peernode.ledger.client_key import ClientKey
    from peernode.ledger.keys import Keys
    from peernode.ledger.spending import Spending

COLUMNS = {
    "id": "id",
    "name": "name",
    "state": "state",
    "balance": "balance",
    "held": "held",
    "spent": "spent",
    "spent_today": "today",
    "limits": "limits",
}
USE_COLUMNS = {
    "date": "day",
    "model": "model",
    "requests": "requests",
    "prompt_tokens": "prompt",
    "completion_tokens": "completion",
    "cost": "credits",
}


@dataclass(frozen=True, slots=True)
class _Open:
    keys: Keys
    spending: Spending
    now_ms: int

    def row(self, key: ClientKey) -> dict[str, Any]:
        from peernode.edge.account_view import limits_object, standing_object

        standing = self.spending.standing(key.id, now_ms=self.now_ms)
        return {
            "id": key.id,
            "name": key.name,
            "state": key.state(self.now_ms),
            "created_ms": key.created_ms,
            **standing_object(key, standing),
            "granted": standing.granted / 10**6,
            "limits": limits_object(key),
        }


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is; only for you.")],
    credit: Annotated[str, typer.Option("--credits", metavar="CREDITS", help="What it may spend in all.")] = "0",
    *,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="It needs no balance; caps still hold.")] = False,
    day_cap: DayCapOption = None,
    month_cap: MonthCapOption = None,
    requests_per_minute: RequestsOption = None,
    tokens_per_minute: TokensOption = None,
    model: ModelsOption = None,
    dialect: DialectsOption = None,
    expires: ExpiresOption = None,
    home: HomeOption = None,
    ledger: LedgerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, this once."""
    import secrets

    from peernode.cli.terminal import aside, print_json, say
    from peernode.ledger.client_key import KeyLimits
    from peernode.ledger.errors import LedgerError

    amount = read_credits(credit, "--credits")
    with _ledger(home, ledger) as at:
        limits = changed(
            KeyLimits(unlimited=unlimited),
            at.now_ms,
            day_cap=day_cap,
            month_cap=month_cap,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            models=model,
            dialects=dialect,
            expires=expires,
        )
        key, text = at.keys.create(name, limits, now_ms=at.now_ms, random_bytes=secrets.token_bytes)
        try:
            if amount:
                at.keys.grant(key.id, amount, key=f"grant:{key.id}:first", at_ms=at.now_ms, note="with the key")
        except LedgerError:
            at.keys.revoke(key.id, now_ms=at.now_ms)  # nobody will see its text
            raise
        row = at.row(key)
    if as_json:
        print_json({"key": text.text, **row})
        return
    say(text.text)
    aside(f"This is the only time that key {key.id} is shown. Clients send it as: Authorization: Bearer {key.id}…")


def list_keys(home: HomeOption = None, ledger: LedgerOption = "", as_json: JsonOption = False) -> None:
    """List all keys, and what each has left."""
    from peernode.cli.terminal import print_json, print_table

    with _ledger(home, ledger) as at:
        rows = [at.row(key) for key in at.keys.list()]
    if as_json:
        print_json(rows)
        return
    print_table([_shown(row) for row in rows], COLUMNS, empty="No keys yet: `peernode keys create NAME --credits 5`.")


def show(
    key: KeyArgument,
    days: Annotated[int, typer.Option(min=1, max=366, help="Days of use to show.")] = 30,
    home: HomeOption = None,
    ledger: LedgerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show one key: its limits, what it has left, and what it used by day and model. The same as GET /v1/usage."""
    from datetime import UTC, datetime, timedelta

    from peernode.cli.terminal import print_json, print_table, say
    from peernode.edge.account_view import usage_object

    with _ledger(home, ledger) as at:
        found = at.keys.named(key)
        last = datetime.fromtimestamp(at.now_ms / 1000, UTC).date()
        first = last - timedelta(days=days - 1)
        used = at.spending.usage(found.id, first_day=first.isoformat(), last_day=last.isoformat())
        standing = at.spending.standing(found.id, now_ms=at.now_ms)
        row = at.row(found)
    usage = usage_object(found, standing, used, first=first, last=last)
    if as_json:
        print_json({**row, "usage": usage})
        return
    for title, value in _shown(row).items():
        if value is not None:
            say(f"{COLUMNS.get(title, title):<10} {value}")
    say()
    uses = [{"date": day["date"], **each} for day in usage["by_day"] for each in day["by_model"]]
    print_table([{**use, "cost": _decimal(use["cost"])} for use in uses], USE_COLUMNS, empty="It was not used yet.")


def revoke(key: KeyArgument, home: HomeOption = None, ledger: LedgerOption = "", as_json: JsonOption = False) -> None:
    """Refuse a key from now on, for ever. What it has left stays in the books."""
    with _ledger(home, ledger) as at:
        row = at.row(at.keys.revoke(at.keys.named(key).id, now_ms=at.now_ms))
    _print(row, as_json, f"Key {row['id']} is revoked.")


def limit(
    key: KeyArgument,
    *,
    unlimited: Annotated[
        bool | None, typer.Option("--unlimited/--not-unlimited", help="Whether it needs a balance.")
    ] = None,
    day_cap: DayCapOption = None,
    month_cap: MonthCapOption = None,
    requests_per_minute: RequestsOption = None,
    tokens_per_minute: TokensOption = None,
    model: ModelsOption = None,
    dialect: DialectsOption = None,
    expires: ExpiresOption = None,
    home: HomeOption = None,
    ledger: LedgerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Change what a key may do; limits that are not named stay as they are."""
    with _ledger(home, ledger) as at:
        found = at.keys.named(key)
        before = found.limits if unlimited is None else replace(found.limits, unlimited=unlimited)
        limits = changed(
            before,
            at.now_ms,
            day_cap=day_cap,
            month_cap=month_cap,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            models=model,
            dialects=dialect,
            expires=expires,
        )
        row = at.row(at.keys.limit(found.id, limits))
    _print(row, as_json, f"Key {row['id']}: {_limits_text(row['limits']) or 'no limits'}.")


def topup(
    key: KeyArgument,
    amount: Annotated[str, typer.Argument(metavar="CREDITS", help="How many credits more.")],
    *,
    note: Annotated[str, typer.Option(help="Why; it is kept in the books.")] = "",
    home: HomeOption = None,
    ledger: LedgerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give a key more credits."""
    from ulid import ULID

    with _ledger(home, ledger) as at:
        found = at.keys.named(key)
        given = read_credits(amount, "CREDITS")
        at.keys.grant(found.id, given, key=f"grant:{found.id}:{ULID()}", at_ms=at.now_ms, note=note)
        row = at.row(found)
    left = "is unlimited" if row["balance"] is None else f"has {_decimal(row['balance'])} credits left"
    _print(row, as_json, f"Key {row['id']} {left}.")


@contextmanager
def _ledger(home: Path | None, url: str) -> Iterator[_Open]:
    """The keys of a home's ledger, which is made if it is not there yet; a node may run beside."""
    import time

    from peernode.ledger import Database
    from peernode.ledger.keys import Keys
    from peernode.ledger.spending import Spending
    from peernode.node.keyfile import load_or_create

    place = home_at(home)
    place.prepare()
    database = Database.open(url or place.ledger_file, own=load_or_create(place.key_file).peer_id)
    try:
        yield _Open(Keys(database), Spending(database), time.time_ns() // 10**6)
    finally:
        database.close()


def _print(row: dict[str, Any], as_json: bool, sentence: str) -> None:
    from peernode.cli.terminal import print_json, say

    if as_json:
        print_json(row)
    else:
        say(sentence)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """One row for people."""
    amounts = {name: _decimal(row[name]) for name in ("held", "spent", "spent_today")}
    balance = "unlimited" if row["balance"] is None else _decimal(row["balance"])
    shown = {"id": row["id"], "name": row["name"] or None, "state": row["state"], "balance": balance, **amounts}
    return {**shown, "held": amounts["held"] if row["held"] else None, "limits": _limits_text(row["limits"]) or None}


def _limits_text(limits: dict[str, Any]) -> str:
    said = [
        (limits["day_cap"] is not None and f"{_decimal(limits['day_cap'] or 0)} credits a day"),
        (limits["month_cap"] is not None and f"{_decimal(limits['month_cap'] or 0)} credits a month"),
        (limits["requests_per_minute"] and f"{limits['requests_per_minute']} requests a minute"),
        (limits["tokens_per_minute"] and f"{limits['tokens_per_minute']} tokens a minute"),
        (limits["models"] and f"only {', '.join(limits['models'])}"),
        (limits["dialects"] and f"only by {', '.join(limits['dialects'])}"),
        (limits["expires_at"] and f"until {limits['expires_at'][:16].replace('T', ' ')}"),
    ]
    return "; ".join(text for text in said if text)


def _decimal(amount: float) -> str:
    return f"{amount:.6f}".rstrip("0").rstrip(".")
