"""``peernode status``: what the running node is and where it can be reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
        if "state" in value:
            return _model(value)
        if "reach" in value:
            return _reachability(value)
        named = value.get("id") or value.get("peer_id")
        return str(named) if named else ", ".join(f"{key} {inner}" for key, inner in value.items())
    return str(value)


def _reachability(known: Mapping[str, Any]) -> str:
    """How others reach this node, and what its operator can do about it."""
    said = [str(known["reach"]) + (f" ({known['reason']})" if known["reason"] else "")]
    if known["address"]:
        said.append(f"seen by peers as {known['address']}")
    if known["relaying"]:
        said.append(f"relays for others, {known['circuits']} connections now")
    if known["router"]:
        said.append(f"router: {known['router']}")
    return "; ".join(said) + (f". {known['remedy']}" if known["remedy"] else "")


def _model(model: Mapping[str, Any]) -> str:
    """One of the node's own models on one line: what it does now, and how fast it has been."""
    said = [str(model["state"])]
    if model.get("progress") is not None:
        said.append(f"{model['progress']:.0%}")
    if model.get("eta_s") is not None:
        said.append(f"about {model['eta_s']:.0f} s left")
    if model.get("waiting"):
        said.append(f"{model['waiting']} waiting")
    if model["state"] == "unloaded":
        said.append("loaded with the next job")
    if model.get("price_factors"):
        by = model["price_factors"]
        said.append(f"prices × {by['prompt']:.3g} for prompts, × {by['completion']:.3g} for answers by its speed")
    if model.get("error"):
        said.append(str(model["error"]))
    if model["state"] == "ready":
        said.append(f"{model['free_slots']} of {model['slots']} slots free")
        if model["decode_tps"]:
            said.append(f"{model['decode_tps']:g} tokens/s each, prompts {model['prefill_tps']:g} tokens/s")
    return f"{model['id']} ({', '.join(said)})"
