"""``/v1/chat/completions`` and ``/v1/models``: thin handlers between the dialect and the job."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from peernode.chat.errors import UnknownModel
from peernode.edge.openai.asking import ask_chat, chat_form
from peernode.edge.openai.fields import parse_object
from peernode.edge.openai.model_list import model_list
from peernode.edge.openai.model_object import model_object
from peernode.edge.services import EdgeServices


def openai_router(services: EdgeServices) -> APIRouter:
    """The OpenAI routes over ``services``."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.post("/chat/completions", summary="Answer a chat, whole or as server-sent events")
    async def chat_completions(request: Request) -> Response:
        return await ask_chat(services, request, parse_object(await request.body()), chat_form())

    @router.get("/models", summary="Models that live nodes serve now")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": model_list(services.catalog)})

    @router.get("/models/{model_id:path}", summary="One model by its name")
    async def model(model_id: str) -> Response:
        found = services.catalog.find(model_id)
        if found is None:
            raise UnknownModel(
                "No live node serves this model.", cause=model_id[:100], remedy="GET /v1/models lists what there is."
            )
        return JSONResponse(model_object(found))

    return router
