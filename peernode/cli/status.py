"""``peernode status``: what the running node is and where it can be reached."""

from __future__ import annotations

from peernode.cli.options import HomeOption, JsonOption, home_at


def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the running node: its id, addresses, models and peers."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import harmless, print_json, say

    with AdminClient(home_at(home)) as node:
        found = node.get("/admin/status")
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        for line, entry in enumerate(_entries(value)):
            say(f"{key.replace('_', ' ') if line == 0 else '':<12} {harmless(entry)}")


def _entries(value: object) -> list[str]:
    if isinstance(value, list):
        return [_name(item) for item in value] or ["none"]
    return [_name(value)]


def _name(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        named = value.get("id") or value.get("peer_id")
        return str(named) if named else ", ".join(f"{key} {inner}" for key, inner in value.items())
    return str(value)
