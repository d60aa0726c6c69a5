"""``peernode credits supply``: how many credits this ledger may grant, in all and to each key; seen and set."""

from __future__ import annotations

from typing import Annotated

import typer

from peernode.cli.key_options import LedgerOption
from peernode.cli.key_values import read_cap
from peernode.cli.options import HomeOption, JsonOption, home_at

MICRO = 10**6


def supply(
    *,
    total: Annotated[
        str | None, typer.Option("--total", metavar="CREDITS", help="Most that may ever be granted; none: no limit.")
    ] = None,
    per_key: Annotated[
        str | None, typer.Option("--per-key", metavar="CREDITS", help="Most that one key may ever get; none: no limit.")
    ] = None,
    home: HomeOption = None,
    ledger: LedgerOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show how many credits were and may be granted to clients, or limit it; a node beside heeds it at once."""
    from peernode.cli.terminal import print_json, say
    from peernode.ledger import Database
    from peernode.ledger.supply import EACH, TOTAL, Supply
    from peernode.node.keyfile import load_or_create

    named = {TOTAL: (total, "--total"), EACH: (per_key, "--per-key")}
    limits = {scope: read_cap(text, option) for scope, (text, option) in named.items() if text is not None}
    place = home_at(home)
    place.prepare()
    database = Database.open(ledger or place.ledger_file, own=load_or_create(place.key_file).peer_id)
    try:
        kept = Supply(database)
        for scope, most in limits.items():
            kept.limit(scope, most)
        found = kept.limits()
    finally:
        database.close()
    told = {"granted": found.granted, "total": found.total, "left": found.left, "per_key": found.each}
    if as_json:
        print_json({name: None if amount is None else amount / MICRO for name, amount in told.items()})
        return
    titles = {"granted": "granted to clients", "total": "at most", "left": "left to grant", "per_key": "to one key"}
    for name, title in titles.items():
        amount = told[name]
        say(f"{title:<20}{'no limit' if amount is None else f'{amount / MICRO:.6f}'.rstrip('0').rstrip('.')}")
