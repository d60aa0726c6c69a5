"""``/api/v1/chat/completions``, its alias ``/ai/v1/…``, and the lists of models under all their names."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from peernode.chat.errors import BadRequest, UnknownModel
from peernode.edge.completions.routes import ask_text
from peernode.edge.openai.asking import ask_chat, chat_form
from peernode.edge.openai.fields import parse_object
from peernode.edge.openai.model_list import model_list
from peernode.edge.openai.model_object import model_object
from peernode.edge.openrouter.body import usual_body
from peernode.edge.openrouter.endpoints import endpoints_object
from peernode.edge.services import CatalogModel, EdgeServices

PREFIX = "gen-"


def openrouter_router(services: EdgeServices) -> APIRouter:
    """The routes over ``services``."""
    router = APIRouter(tags=["OpenRouter"])

    @router.post("/ai/v1/chat/completions", summary="The same at 4EVERLAND's path")
    @router.post("/api/v1/chat/completions", summary="Answer a chat or a prompt, whole or as server-sent events")
    async def chat_completions(request: Request) -> Response:
        body = usual_body(parse_object(await request.body()))
        if body.get("prompt") is not None:
            return ask_text(services, request, body, prefix=PREFIX, usage=True, shortens=True)
        if body.get("messages") is None:
            raise BadRequest("messages is missing.", param="messages", remedy="Send messages, or a prompt.")
        return await ask_chat(services, request, body, chat_form(usage=True), prefix=PREFIX, shortens=True)

    @router.get("/v1/chat/models", summary="The same at Qolaba's path")
    @router.get("/api/v1/chat/models", summary="The same at Qolaba's path")
    @router.get("/api/v1/models", summary="Models that live nodes serve now")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": model_list(services.catalog)})

    # Names may hold slashes, or none: the author is whatever stands before the last one.
    @router.get("/api/v1/models/{model_id:path}/endpoints", summary="The providers of one model")
    async def endpoints(model_id: str) -> Response:
        return JSONResponse({"data": endpoints_object(_find(services, model_id), services.nodes(), services.fee)})

    @router.get("/v1/chat/models/{model_id:path}", summary="One model by its name")
    @router.get("/api/v1/chat/models/{model_id:path}", summary="One model by its name")
    async def model(model_id: str) -> Response:
        return JSONResponse(model_object(_find(services, model_id)))

    return router


def _find(services: EdgeServices, model_id: str) -> CatalogModel:
    found = services.catalog.find(model_id)
    if found is None:
        raise UnknownModel(
            "No live node serves this model.", cause=model_id[:100], remedy="GET /api/v1/models lists what there is."
        )
    return found
