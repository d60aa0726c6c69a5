"""``/v1/chat/completions`` and ``/v1/models``: thin handlers between the dialect and the job."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from peernode.chat.errors import UnknownModel
from peernode.chat.job import ChatJob, seed_of_choice
from peernode.edge.admission import admit
from peernode.edge.boundary import request_id_of
from peernode.edge.image_fetcher import fetch_all
from peernode.edge.job_response import AnswerWriter, JobResponse
from peernode.edge.openai.chat_request import read_chat_body
from peernode.edge.openai.completion import AnswerHead, CompletionWriter
from peernode.edge.openai.fields import parse_object
from peernode.edge.openai.images import remote_images
from peernode.edge.openai.model_object import model_object
from peernode.edge.openai.stream import StreamWriter
from peernode.edge.peer_names import with_whole_ids
from peernode.edge.route_header import NAME
from peernode.edge.services import EdgeServices


def openai_router(services: EdgeServices) -> APIRouter:
    """The OpenAI routes over ``services``."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.post("/chat/completions", summary="Answer a chat, whole or as server-sent events")
    async def chat_completions(request: Request) -> Response:
        body = parse_object(await request.body())
        call = read_chat_body(body, await fetch_all(remote_images(body), services.images))
        models = (call.model, *call.wishes.models)
        admission = admit(services, request.scope, models=models, request=call.request, choices=call.choices)
        request_ids = (
            request_id_of(request.scope),
            *(services.new_request_id() for _ in range(call.choices - 1)),
        )
        head = AnswerHead(request_ids, int(services.clock()), call.model)
        seed = services.new_seed() if call.seed is None else call.seed
        wishes = with_whole_ids(call.wishes, services.peers)
        jobs = [
            ChatJob(
                request_id=request_id,
                model=call.model,
                request=call.request,
                seed=seed_of_choice(seed, index),
                first_token_s=services.limits.first_token_s,
                total_s=services.limits.total_s,
                wishes=wishes,
                payer=admission.payer,
                explain=NAME in request.headers,
                dialect=admission.dialect,
                streamed=call.stream,
            )
            for index, request_id in enumerate(request_ids)
        ]
        writer: AnswerWriter
        if call.stream:
            writer = StreamWriter(head, call.request, include_usage=call.include_usage)
        else:
            writer = CompletionWriter(head, call.request)
        return JobResponse(services, jobs, writer, admission)

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
