"""``POST /v1/embeddings``: runs the job like any other, and answers in one piece when its receipt is settled."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog
import trio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from peernode.chat.embedding_request import read_vectors
from peernode.chat.errors import JobError, ProviderFailed
from peernode.chat.events import Failed, Finished, Receipted, Started, Tokens, Usage
from peernode.chat.job import ChatJob
from peernode.edge.admission import Admission, admit
from peernode.edge.boundary import request_id_of
from peernode.edge.openai.embedding_call import EmbeddingCall, read_embedding_call, write_embedding
from peernode.edge.peer_names import with_whole_ids
from peernode.edge.route_header import NAME, route_header
from peernode.edge.services import EdgeServices
from peernode.edge.settlement import Settlement, as_credits, settled, unsettled

log = structlog.get_logger("peernode.edge")

MICRO = 1_000_000
CLIENT_CLOSED = 499


@dataclass(slots=True)
class _Outcome:
    """What came of the job; not ``over`` where the client left first."""

    started: Started = field(default_factory=lambda: Started("", ""))
    pieces: list[str] = field(default_factory=list)
    usage: Usage | None = None
    settlement: Settlement | None = None
    error: JobError | None = None
    over: bool = False


def embeddings_router(services: EdgeServices) -> APIRouter:
    """The route over ``services``."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.post("/embeddings", summary="Make unit vectors of texts or token ids")
    async def embeddings(request: Request) -> Response:
        call = read_embedding_call(await request.body())
        admission = admit(services, request.scope, models=(call.model, *call.wishes.models), request=call.request)
        job = ChatJob(
            request_id=request_id_of(request.scope),
            model=call.model,
            request=call.request,
            seed=0,  # nothing is drawn by lot
            first_token_s=services.limits.first_token_s,
            total_s=services.limits.total_s,
            wishes=with_whole_ids(call.wishes, services.peers),
            payer=admission.payer,
            explain=NAME in request.headers,
            dialect=admission.dialect,
        )
        outcome = _Outcome()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_watch, request, nursery.cancel_scope)
                await _run(services, job, outcome, admission)
                nursery.cancel_scope.cancel()
        finally:
            admission.close()
        if not outcome.over:
            log.info("client_hung_up", finished=False)
            return Response(status_code=CLIENT_CLOSED)
        if outcome.error is not None:
            log.info("job_failed", code=outcome.error.code, model=job.model[:100], midstream=False)
            raise outcome.error
        return _answer(call, job, outcome, admission)

    return router


async def _watch(request: Request, scope: trio.CancelScope) -> None:
    """A client that leaves has no use for the rest."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _run(services: EdgeServices, job: ChatJob, outcome: _Outcome, admission: Admission) -> None:
    async with services.runner.open(job) as events:
        async for event in events:
            admission.observe(0, event)
            match event:
                case Started():
                    outcome.started = event
                case Tokens(text=text):
                    outcome.pieces.append(text)
                case Finished(usage=usage):
                    outcome.usage = usage
                case Receipted():
                    outcome.settlement = await settled(event, services.receipts)
                case Failed(error=error) if outcome.usage is None:
                    outcome.error = error
                case Failed(error=error):
                    provider = outcome.started.provider
                    log.warning("answer_without_receipt", code=error.code, provider=provider)
                    outcome.settlement = unsettled(error, provider)
    outcome.over = True


def _answer(call: EmbeddingCall, job: ChatJob, outcome: _Outcome, admission: Admission) -> Response:
    """Raises BadRequest, or ProviderFailed when what came are not the vectors that were asked for."""
    usage, settlement = outcome.usage, outcome.settlement
    if usage is None or settlement is None:
        raise AssertionError("a job stream stopped without its last event")
    try:
        vectors = read_vectors("".join(outcome.pieces), len(call.request.inputs))
    except ValueError as err:
        raise ProviderFailed("The provider's answer is no embedding.", cause=str(err)) from err
    body = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": write_embedding(vector, call)}
            for index, vector in enumerate(vectors)
        ],
        "model": outcome.started.model_id or call.model,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "total_tokens": usage.prompt_tokens,
            "cost": settlement.credits / MICRO,
        },
        "request_id": job.request_id,
        "provider": settlement.provider,
        "receipt": settlement.receipt,
    }
    headers = {"cache-control": "no-store", "credits": as_credits(settlement.credits)}
    headers.update((name.decode(), value.decode()) for name, value in admission.headers())
    if settlement.digest:
        headers["x-peernode-receipt"] = settlement.digest
    if outcome.started.route is not None:
        headers[NAME] = route_header(outcome.started.route, outcome.started.provider).decode("ascii")
    return JSONResponse(body, headers=headers)
