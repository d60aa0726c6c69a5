"""The providers of one model, as OpenRouter lists its endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from peernode.chat.fee_share import NO_FEE, FeeShare
from peernode.edge.openai.model_object import SUPPORTED, model_object, per_token
from peernode.edge.services import CatalogModel, NodeEntry
from peernode.market.routing.model_names import read_model_name
from peernode.wire.advert import ModelCard
from peernode.wire.prices import Prices


def endpoints_object(model: CatalogModel, nodes: Iterable[NodeEntry], fee: FeeShare = NO_FEE) -> dict[str, Any]:
    """The model's own object, with one endpoint for each node that serves it; ``tag`` is what ``provider`` takes.

    Prices are those that a client pays, with the ``fee`` of this node.
    """
    wanted = read_model_name(model.id).id
    found = [(node, card) for node in nodes for card in node.models if card.id == wanted or not wanted]
    return {**model_object(model), "endpoints": [_endpoint(node, card, fee) for node, card in found]}


def _endpoint(node: NodeEntry, card: ModelCard, fee: FeeShare) -> dict[str, Any]:
    prices = fee.on_prices(Prices(card.price_prompt, card.price_cached, card.price_completion))
    return {
        "name": f"{node.peer_id} | {card.id}",
        "model_name": card.id,
        "provider_name": node.peer_id,
        "tag": node.peer_id,
        "context_length": card.context_length,
        "max_completion_tokens": None,
        "max_prompt_tokens": None,
        "quantization": card.quantization,
        "pricing": {
            "prompt": per_token(prices.prompt),
            "input_cache_read": per_token(prices.cached),
            "completion": per_token(prices.completion),
            "request": "0",
            "image": "0",
        },
        "supported_parameters": list(SUPPORTED),
        "status": 0,
        "throughput": card.decode_tps,
        "slots": node.slots,
        "free_slots": node.free_slots,
    }
