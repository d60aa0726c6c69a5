"""``peernode models``: what can be asked for now, here and on peers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peernode.cli.options import HomeOption, JsonOption, home_at

COLUMNS = {
    "id": "model",
    "here": "here",
    "nodes_available": "nodes",
    "quantization": "quantization",
    "context": "context",
    "prompt": "prompt price",
    "completion": "completion price",
    "speed": "tokens/s",
}


def models(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the models that live nodes serve; prices are micro-credits per million tokens, the lowest offered."""
    from peernode.cli.admin_client import AdminClient
    from peernode.cli.terminal import print_json, print_table

    with AdminClient(home_at(home)) as node:
        found = node.get("/admin/models")
    if as_json:
        print_json(found)
    else:
        print_table([_row(model) for model in found], COLUMNS, empty="No live node serves a model.")


def _row(model: Mapping[str, Any]) -> dict[str, Any]:
    """One line for all who serve the model: every quantization, the longest context, the best price and speed."""
    by = model.get("providers", [])
    prices = [provider.get("prices", {}) for provider in by]
    return {
        **model,
        "quantization": sorted({provider["quantization"] for provider in by if provider.get("quantization")}),
        "context": max((provider.get("context_length", 0) for provider in by), default=None),
        "prompt": min((price.get("prompt", 0) for price in prices), default=None),
        "completion": min((price.get("completion", 0) for price in prices), default=None),
        "speed": max((provider.get("decode_tps", 0) for provider in by), default=0) or None,
    }
