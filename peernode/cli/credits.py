"""``peernode credits``: what this node and its peers owe each other, the lines it gives, and settling debts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from peernode.cli.options import HomeOption, JsonOption, home_at

PEER_COLUMNS = {
    "peer": "peer",
    "balance": "owes us",
    "held": "held",
    "limit": "line",
    "left": "left",
    "served": "served",
    "taken": "taken",
    "settled": "settled",
    "repaid": "repaid",
    "last": "last service",
    "notes": "notes",
}
HISTORY_COLUMNS = {
    "time": "time",
    "kind": "what",
    "account": "account",
    "amount": "credits",
    "about": "about",
    "note": "note",
}
BALANCE_LINES = {
    "owed_by_peers": "owed by peers",
    "owed_to_peers": "owed to peers",
    "held_for_peers": "held for running jobs of peers",
    "unsigned": "served and never signed for",
    "newcomers_owe": "owed by newcomers, beyond what they earned",
    "income": "earned by service, in all",
    "spent": "spent on service for the operator, in all",
    "settled": "settled outside of the ledger, in all",
    "clients": "clients have left",
    "held": "held for running requests of clients",
    "granted": "granted to clients, in all",
    "fees": "fees of clients on top of service, in all",
}
# The books keep where credits came from below zero; people want to know how many came.
_TURNED = {"income", "granted", "fees"}
_CAPS = {"newcomers_owe": "newcomers_cap", "granted": "grantable"}


def balance(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show what is owed in all, in credits."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import print_json, say

    with AdminClient(home_at(home)) as node:
        found = node.get("/admin/credits")
    if as_json:
        print_json(found)
        return
    width = max(map(len, BALANCE_LINES.values()))
    for key, title in BALANCE_LINES.items():
        amount = -found[key] if key in _TURNED else found[key]
        most = found.get(_CAPS.get(key, ""))
        more = "" if most is None else f"  of at most {_credits(most)}"
        say(f"{title:<{width}}  {_credits(amount)}{more}")


def peers(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the lines of credit to peers: who owes what, how far each line reaches, and what is held against whom."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import harmless, print_json, print_table, say

    with AdminClient(home_at(home)) as node:
        found = node.get("/admin/credits/peers")
    if as_json:
        print_json(found)
        return
    print_table([_shown(row) for row in found], PEER_COLUMNS, empty="Nobody owes anybody anything.")
    for row in found:
        for note in _notes(row):
            say(harmless(f"{row['peer']}: {note}"))


def settle(
    peer: Annotated[str, typer.Argument(help="The debtor's peer id, or as much of its beginning or end as it takes.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="How many credits it settled, like 2.5.")],
    reference: Annotated[str, typer.Option("--reference", metavar="TEXT", help="An invoice, a transfer.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign that a peer settled what it owed, outside of the network, and let it know."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import harmless, print_json, say

    with AdminClient(home_at(home)) as node:
        made = node.post("/admin/credits/settle", {"peer": peer, "amount": amount, "reference": reference})
    if as_json:
        print_json(made)
        return
    say(
        f"{harmless(made['peer'])} settled {_credits(made['amount'])} credits; it owes {_credits(made['balance'])} now."
    )
    if not made["delivered"]:
        say("It could not be told yet, and will be when it is back.")


def history(
    about: Annotated[str, typer.Argument(metavar="[PEER|ACCOUNT]", help="A peer, or an account like income.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")] = 50,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was posted, the newest first: all of it, between this node and a peer, or to one account."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import print_json, print_table

    with AdminClient(home_at(home)) as node:
        found = node.get("/admin/credits/history", about=about, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [{**row, "time": _time(row["at_ms"]), "amount": _credits(row["amount"])} for row in found]
    print_table(rows, HISTORY_COLUMNS, empty="Nothing was posted yet.")


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row for people; what is owed to a peer is below zero."""
    limit, unlimited = row["limit"], row["limit"] is None
    left = None if unlimited else max(limit - row["balance"] - row["held"] - row["unsigned"], 0)
    return {
        "peer": row["peer"],
        **{name: _credits(row[name]) for name in ("balance", "served", "taken")},
        **{name: _credits(row[name]) if row[name] else None for name in ("held", "settled", "repaid")},
        "limit": "no limit" if unlimited else _credits(limit),
        "left": None if left is None else _credits(0 if row["closed"] else left),
        "last": _time(row["last_active_ms"]) if row["last_active_ms"] else None,
        "notes": len(_notes(row)) or None,
    }


def _notes(row: Mapping[str, Any]) -> list[str]:
    notes = []
    if row["closed"] and row["limit"] is not None:
        notes.append(f"gets nothing more: {row['closed']}")
    if row["unsigned"]:
        notes.append(f"{_credits(row['unsigned'])} never signed for")
    if row["refuses_us"]:
        notes.append(f"gives us no more {row['refuses_us']['reason']}")
    if row["avoided"]:
        notes.append(row["avoided"])
    if row["marks"]:
        last = row["marks"][0]
        notes.append(f"{row['marks_in_all']} × marked, last {last['kind']}: {last['reason']}")
    return notes


def _credits(micro: int) -> str:
    from peernode.edge.settlement import as_credits

    return as_credits(micro)


def _time(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
