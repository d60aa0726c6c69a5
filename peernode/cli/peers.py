"""``peernode peers``: who the running node knows, how it reaches them, and how fresh their word is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peernode.cli.options import HomeOption, JsonOption, home_at

COLUMNS = {
    "peer_id": "peer",
    "reached": "reached",
    "rtt": "round trip",
    "address": "address",
    "lease": "lease",
    "skew": "clock",
    "version": "version",
    "models": "models",
    "free": "free",
    "ban": "banned",
    "two_logs": "avoided",
    "credit": "credit",
}


def peers(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the peers that the running node knows, connected or not."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import print_json, print_table

    with AdminClient(home_at(home)) as node:
        found = node.get("/admin/peers")
    if as_json:
        print_json(found)
    else:
        print_table([_shown(peer) for peer in found], COLUMNS, empty="No peers are known.")


def _shown(peer: Mapping[str, Any]) -> dict[str, Any]:
    """One row for people."""
    return {
        "peer_id": peer["peer_id"],
        "reached": _reached(peer),
        "rtt": _with_unit(peer.get("rtt_ms"), "ms"),
        "address": peer.get("address"),
        "lease": _lease(peer),
        "skew": None if peer.get("skew_ms") is None else f"{peer['skew_ms'] / 1000:+.1f} s",
        "version": peer.get("version"),
        "models": peer.get("models") or None,
        "free": None if peer.get("slots") is None else f"{peer.get('free_slots')} of {peer['slots']}",
        "ban": _ban(peer.get("banned")),
        "two_logs": peer.get("two_logs"),
        "credit": peer.get("credit"),
    }


def _reached(peer: Mapping[str, Any]) -> str:
    if not peer.get("connected"):
        return "no"
    way = {"inbound": "in", "outbound": "out"}.get(str(peer.get("direction")).lower(), "")
    return f"{peer.get('path') or 'direct'} {way}".strip()


def _lease(peer: Mapping[str, Any]) -> str | None:
    """How old the peer's newest word is, and how long it still counts."""
    if peer.get("lease_age_s") is None:
        return None
    said = f"{peer['lease_age_s']:g} s old, {max(0.0, peer['lease_left_s']):g} s left"
    return f"{said}, suspect" if peer.get("suspect") else said


def _ban(ban: Mapping[str, Any] | None) -> str | None:
    return f"{ban['reason']}, {ban['left_s']:.0f} s left" if ban else None


def _with_unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{value:.3g} {unit}"
