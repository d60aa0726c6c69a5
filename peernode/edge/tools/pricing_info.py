"""``pricing_info``: what tokens cost now, model by model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peernode.chat.errors import BadRequest, UnknownModel
from peernode.edge.openai.model_object import per_token
from peernode.edge.services import Catalog, CatalogModel


class PricingInfo:
    """The lowest prices offered now, in credits. A credit is not sold by this node, so it has no price in money."""

    name = "pricing_info"
    description = "Current prices of all models, or of one, in credits per token."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"model": {"type": "string", "description": "Only this model."}},
        "additionalProperties": False,
    }

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def run(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Raises UnknownModel, or BadRequest for a model that is no text."""
        wanted = arguments.get("model")
        if wanted is None:
            models = list(self._catalog.models())
        elif not isinstance(wanted, str):
            raise BadRequest("model must be a string.", param="function.arguments.model")
        elif (found := self._catalog.find(wanted)) is None:
            raise UnknownModel("No live node serves this model.", cause=wanted[:100])
        else:
            models = [found]
        return {
            "unit": "credit",
            "credits_per_cent": None,
            "models": [
                {"id": model.id, "nodes_available": model.nodes_available, **_prices(model)} for model in models
            ],
        }


def _prices(model: CatalogModel) -> dict[str, str]:
    prices = model.prices
    return {
        "prompt": per_token(prices.prompt),
        "cached_prompt": per_token(prices.cached),
        "completion": per_token(prices.completion),
    }
