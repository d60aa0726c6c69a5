"""``peernode peers``: who the running node knows."""

from __future__ import annotations

from peernode.cli.options import HomeOption, JsonOption, home_at

COLUMNS = {
    "peer_id": "peer",
    "connected": "connected",
    "direction": "direction",
    "address": "address",
    "rtt_ms": "rtt ms",
    "models": "models",
    "free_slots": "free slots",
    "version": "version",
}


def peers(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the peers that the running node knows."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import print_json, print_table

    with AdminClient(home_at(home)) as node:
        found = node.get("/admin/peers")
    if as_json:
        print_json(found)
    else:
        print_table(found, COLUMNS, empty="No peers are known.")
