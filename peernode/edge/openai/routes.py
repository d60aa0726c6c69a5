"""``/v1/chat/completions`` and ``/v1/models``: thin handlers between the dialect and the job."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from peernode.chat.errors import UnknownModel
from peernode.chat.job import ChatJob
from peernode.edge.boundary import request_id_of
from peernode.edge.job_response import AnswerWriter, JobResponse
from peernode.edge.openai.chat_request import read_chat_call
from peernode.edge.openai.completion import AnswerHead, CompletionWriter
from peernode.edge.openai.model_object import model_object
from peernode.edge.openai.stream import StreamWriter
from peernode.edge.services import EdgeServices


def openai_router(services: EdgeServices) -> APIRouter:
    """The OpenAI routes over ``services``."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.post("/chat/completions", summary="Answer a chat, whole or as server-sent events")
    async def chat_completions(request: Request) -> Response:
        call = read_chat_call(await request.body())
        request_id = request_id_of(request.scope)
        head = AnswerHead(request_id, int(services.clock()), call.model)
        job = ChatJob(
            request_id=request_id,
            model=call.model,
            request=call.request,
            seed=services.new_seed() if call.seed is None else call.seed,
            first_token_s=services.limits.first_token_s,
            total_s=services.limits.total_s,
        )
        writer: AnswerWriter
        if call.stream:
            writer = StreamWriter(head, include_usage=call.include_usage)
        else:
            writer = CompletionWriter(head, logprobs=call.request.top_logprobs is not None)
        return JobResponse(services, job, writer)

    @router.get("/models", summary="Models that live nodes serve now")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [model_object(model) for model in services.catalog.models()]})

    @router.get("/models/{model_id:path}", summary="One model by its name")
    async def model(model_id: str) -> Response:
        found = services.catalog.find(model_id)
        if found is None:
            raise UnknownModel(
                "No live node serves this model.", cause=model_id[:100], remedy="GET /v1/models lists what there is."
            )
        return JSONResponse(model_object(found))

    return router
