"""``POST /v1/responses``."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from peernode.edge.job_response import AnswerWriter
from peernode.edge.openai.asking import ask_chat
from peernode.edge.openai.chat_request import ChatCall
from peernode.edge.openai.completion import AnswerHead, WholeWriter
from peernode.edge.openai.fields import parse_object
from peernode.edge.responses.answer import ResponseStream, whole_response
from peernode.edge.responses.response_body import chat_body, own_names
from peernode.edge.responses.response_object import PREFIX
from peernode.edge.services import EdgeServices


def responses_router(services: EdgeServices) -> APIRouter:
    """The route over ``services``."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.post("/responses", summary="Answer items of input, whole or as typed events; nothing is kept")
    async def responses(request: Request) -> Response:
        asked = parse_object(await request.body())

        def form(head: AnswerHead, call: ChatCall) -> AnswerWriter:
            return ResponseStream(head, asked) if call.stream else WholeWriter(head, whole_response(asked))

        with own_names():
            return await ask_chat(services, request, chat_body(asked), form, prefix=PREFIX)

    return router
