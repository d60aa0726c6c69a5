"""``peernode receipts recover``: asks the other parties of unfinished jobs for the receipts that are missing, now."""

from __future__ import annotations

from peernode.cli.options import HomeOption, JsonOption, home_at

OPEN_COLUMNS = {
    "request_id": "request",
    "part": "part",
    "role": "role",
    "peer": "other party",
    "state": "state",
    "credits": "at most, credits",
    "note": "note",
}
ASKED_COLUMNS = {"request_id": "request", "part": "part", "peer": "other party", "outcome": "outcome", "cause": "cause"}
MICRO = 1_000_000


def recover(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Ask now for receipts that are missing; the running node does so by itself, too."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import print_json, print_table, say

    with AdminClient(home_at(home)) as node:
        found = node.post("/admin/recovery", {})
    if as_json:
        print_json(found)
        return
    asked = found["asked"]
    left = [
        {**row, "credits": f"{row['most_credits'] / MICRO:.6f}"}
        for row in found["open"]
        if row["state"] != "in progress"
    ]
    if not asked and not left:
        say("Nothing is open: every receipt is where it belongs.")
    if asked:
        print_table(asked, ASKED_COLUMNS, empty="")
    if left:
        say("Still open:")
        print_table(left, OPEN_COLUMNS, empty="")
