"""Live nodes: ``/v1/nodes``, ``/api/nodes`` and ``/api/nodes/{peer}``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from peernode.edge.errors import UnknownPeer
from peernode.edge.openai.model_object import per_token
from peernode.edge.services import EdgeServices, NodeEntry
from peernode.wire.advert import ModelCard


def nodes_router(services: EdgeServices) -> APIRouter:
    """The routes over ``services.nodes``."""
    router = APIRouter(tags=["Explorer"])

    @router.get("/v1/nodes", summary="Live nodes and what they offer")
    async def plain() -> Response:
        return JSONResponse([node_object(node) for node in services.nodes()])

    @router.get("/api/nodes", summary="Live nodes and what they offer")
    async def nodes() -> Response:
        return JSONResponse({"nodes": [node_object(node) for node in services.nodes()]})

    @router.get("/api/nodes/{peer}", summary="One node by its id, or by what only its id begins or ends with")
    async def node(peer: str) -> Response:
        known = services.nodes()
        found = [node for node in known if node.peer_id == peer] or [
            node for node in known if node.peer_id.startswith(peer) or node.peer_id.endswith(peer)
        ]
        if len(found) != 1:
            raise UnknownPeer(
                "Several nodes are called that." if found else "No live node is called that.",
                cause=peer[:100],
                remedy="GET /api/nodes lists them.",
            )
        return JSONResponse({"node": node_object(found[0])})

    return router


def node_object(node: NodeEntry) -> dict[str, Any]:
    """The JSON of one node; prices are decimal strings of credits per token."""
    return {
        "peer_id": node.peer_id,
        "models": [card.id for card in node.models],
        "max_concurrent_jobs": node.slots,
        "free_slots": node.free_slots,
        "queued": node.queued,
        "multiaddrs": list(node.addresses),
        "version": node.version,
        "last_seen_ms": round(node.last_seen_s * 1000),
        "offers": [_offer(card) for card in node.models],
    }


def _offer(card: ModelCard) -> dict[str, Any]:
    return {
        "id": card.id,
        "digest": card.digest.hex(),
        "quantization": card.quantization,
        "context_length": card.context_length,
        "features": list(card.features),
        "pricing": {
            "prompt": per_token(card.price_prompt),
            "cached_prompt": per_token(card.price_cached),
            "completion": per_token(card.price_completion),
        },
        "decode_tps": card.decode_tps,
        "prefill_tps": card.prefill_tps,
    }
