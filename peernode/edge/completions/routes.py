"""``POST /v1/completions``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from peernode.edge.completions.text_answer import TextStream, text_completion
from peernode.edge.completions.text_call import read_text_body
from peernode.edge.job_response import AnswerWriter
from peernode.edge.openai.asking import run_call
from peernode.edge.openai.chat_request import ChatCall
from peernode.edge.openai.completion import AnswerHead, WholeWriter
from peernode.edge.openai.fields import parse_object
from peernode.edge.openai.other_names import with_usual_names
from peernode.edge.services import EdgeServices

# OpenAI's own for this API.
USUAL_TOKENS = 16


def completions_router(services: EdgeServices) -> APIRouter:
    """The route over ``services``."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.post("/completions", summary="Answer prompts of plain text, whole or as server-sent events")
    async def completions(request: Request) -> Response:
        return ask_text(services, request, parse_object(await request.body()), usual_tokens=USUAL_TOKENS)

    return router


def ask_text(
    services: EdgeServices,
    request: Request,
    body: dict[str, Any],
    *,
    usual_tokens: int | None = None,
    prefix: str = "cmpl-",
    usage: bool = False,
    shortens: bool = False,
) -> Response:
    """Run what ``body`` asks with its ``prompt``; the rest as ``run_call`` has it. Raises BadRequest."""
    text = read_text_body(with_usual_names(body), usual_tokens=usual_tokens)

    def form(head: AnswerHead, call: ChatCall) -> AnswerWriter:
        if call.stream:
            return TextStream(head, text.echoes, include_usage=usage or call.include_usage)
        return WholeWriter(head, text_completion(text))

    return run_call(services, request, text.call, text.requests, form, prefix=prefix, shortens=shortens)
