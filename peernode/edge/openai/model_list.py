"""What ``/v1/models`` lists: the models that live nodes serve, and behind them the names that choose one."""

from __future__ import annotations

from typing import Any

from peernode.edge.openai.model_object import model_object
from peernode.edge.services import Catalog
from peernode.market.routing.model_names import AUTO, CHEAPEST, FASTEST, META_MODELS

_MEANT = {
    AUTO: "Any model that chats: healthy providers first, cheaper ones more often, none that is much slower.",
    CHEAPEST: "Whichever model costs least now.",
    FASTEST: "Whichever model is expected to be done first now.",
}


def model_list(catalog: Catalog) -> list[dict[str, Any]]:
    """One object each; the last ones only while somebody can be chosen by them."""
    chosen = [(name, catalog.find(name)) for name in META_MODELS]
    listed = [model_object(model) for model in catalog.models()]
    return listed + [{**model_object(model), "description": _MEANT[name]} for name, model in chosen if model]
