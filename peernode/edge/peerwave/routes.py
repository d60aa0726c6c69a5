"""``/api/chat``, ``/api/chat/stream`` and ``/api/models``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from peernode.edge.job_response import AnswerWriter
from peernode.edge.openai.asking import ask_chat
from peernode.edge.openai.chat_request import ChatCall
from peernode.edge.openai.completion import AnswerHead, WholeWriter
from peernode.edge.openai.fields import parse_object
from peernode.edge.openai.model_list import model_list
from peernode.edge.peerwave.lines import LineWriter
from peernode.edge.peerwave.reply import reply
from peernode.edge.services import EdgeServices
from peernode.edge.tools.tool import tool_object


def peerwave_router(services: EdgeServices) -> APIRouter:
    """The routes over ``services``."""
    router = APIRouter(prefix="/api", tags=["Peerwave"])

    @router.post("/chat", summary="Answer a chat in one piece, or in lines where the body says stream")
    async def chat(request: Request) -> Response:
        return await ask_chat(services, request, _of_one_choice(parse_object(await request.body())), _form)

    @router.post("/chat/stream", summary="Answer a chat in lines of JSON")
    async def stream(request: Request) -> Response:
        body = _of_one_choice(parse_object(await request.body()))
        return await ask_chat(services, request, {**body, "stream": True}, _form)

    @router.get("/models", summary="Models and tools that are here now")
    async def models() -> Response:
        listed = model_list(services.catalog)
        tools = [tool_object(tool) for tool in services.tools]
        return JSONResponse({"object": "list", "data": listed, "models": listed, "tools": tools})

    return router


def _form(head: AnswerHead, call: ChatCall) -> AnswerWriter:
    return LineWriter(head) if call.stream else WholeWriter(head, reply)


def _of_one_choice(body: dict[str, Any]) -> dict[str, Any]:
    """There is no place for another, or for log-probabilities."""
    return {name: value for name, value in body.items() if name not in ("n", "logprobs", "top_logprobs")}
