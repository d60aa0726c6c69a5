"""What this dialect leaves out or calls by other names, as our own bodies have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peernode.market.routing.model_names import AUTO

_AUTO = ("openrouter/auto", "4ever/auto")


def usual_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """``body`` with a model, and the vendors' names for any model replaced by ours."""
    models = body.get("models")
    usual = {**body, "model": _usual(body.get("model"))}
    if isinstance(models, list):
        usual["models"] = [_usual(name) for name in models]
    if usual["model"] is None and not models:
        usual["model"] = AUTO
    return usual


def _usual(name: object) -> object:
    """``openrouter/auto`` may have a suffix, which is kept."""
    found = next((vendor for vendor in _AUTO if name == vendor), None)
    return name if found is None else AUTO
