"""From a body in OpenAI's form to a running answer: what all dialects share once their own names are translated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import trio
from fastapi import Request
from fastapi.responses import Response

from peernode.chat.errors import BadRequest
from peernode.chat.job import ChatJob, seed_of_choice
from peernode.chat.request import ChatRequest
from peernode.edge.admission import admit
from peernode.edge.auth import add_headers, caller_of
from peernode.edge.boundary import request_id_of
from peernode.edge.image_fetcher import fetch_all
from peernode.edge.job_response import AnswerWriter, JobResponse
from peernode.edge.openai.chat_request import ChatCall, read_chat_body
from peernode.edge.openai.completion import CHAT_PREFIX, AnswerHead, Render, WholeWriter, chat_completion
from peernode.edge.openai.images import remote_images
from peernode.edge.openai.other_names import with_usual_names
from peernode.edge.openai.stream import StreamWriter
from peernode.edge.peer_names import with_whole_ids
from peernode.edge.route_header import NAME
from peernode.edge.services import EdgeServices
from peernode.edge.sessions.session import Session
from peernode.edge.streams.kept import KeptResponse

SMALL_CONTEXT = 8192
# How a dialect writes the answer to a call.
Form: TypeAlias = Callable[[AnswerHead, ChatCall], AnswerWriter]


def chat_form(*, usage: bool = False) -> Form:
    """OpenAI's form, whole or streamed as the call says; with ``usage`` it closes every stream, asked for or not."""

    def write(head: AnswerHead, call: ChatCall) -> AnswerWriter:
        if call.stream:
            return StreamWriter(head, include_usage=usage or call.include_usage)
        return WholeWriter(head, chat_completion)

    return write


def whole(render: Render) -> Form:
    """One object, however the call wants it."""
    return lambda head, _: WholeWriter(head, render)


async def ask_chat(
    services: EdgeServices,
    request: Request,
    body: dict[str, Any],
    form: Form,
    *,
    prefix: str = CHAT_PREFIX,
    shortens: bool = False,
) -> Response:
    """Run the chat that ``body`` describes. Raises BadRequest, and whatever keeps the caller out."""
    body = with_usual_names(body)
    session = await _session(services, request, body)
    try:
        body = body if session is None else {**body, "messages": session.messages}
        call = read_chat_body(body, await fetch_all(remote_images(body), services.images))
        requests = [call.request] * call.choices
        return run_call(services, request, call, requests, form, prefix=prefix, shortens=shortens, session=session)
    except BaseException:
        if session is not None:
            session.close()
        raise


def run_call(
    services: EdgeServices,
    request: Request,
    call: ChatCall,
    requests: Sequence[ChatRequest],
    form: Form,
    *,
    prefix: str = CHAT_PREFIX,
    shortens: bool = False,
    session: Session | None = None,
) -> Response:
    """One job for each of ``requests``, as one answer; the call's own request stands for them where limits count.

    ``prefix`` is that of the answer's id. With ``shortens``, conversations too long for a small context are shortened
    unless the call says otherwise. The answer is kept in ``session``.
    """
    models = (call.model, *call.wishes.models)
    admission = admit(services, request.scope, models=models, request=call.request, choices=len(requests))
    request_ids = (request_id_of(request.scope), *(services.new_request_id() for _ in requests[1:]))
    kept_as = "" if session is None else session.name.id
    head = AnswerHead(request_ids, int(services.clock()), call.model, tuple(requests), prefix, kept_as)
    if session is not None:
        services = replace(services, runner=session.remembering(services.runner))
        add_headers(request.scope, [(b"x-session-id", kept_as.encode())])
    seed = services.new_seed() if call.seed is None else call.seed
    wishes = with_whole_ids(call.wishes, services.peers)
    shortened = call.middle_out if call.middle_out is not None else shortens and _is_small(services, call.model)
    jobs = [
        ChatJob(
            request_id=request_id,
            model=call.model,
            request=asked,
            seed=seed_of_choice(seed, index),
            first_token_s=services.limits.first_token_s,
            total_s=services.limits.total_s,
            wishes=wishes,
            payer=admission.payer,
            explain=NAME in request.headers,
            dialect=admission.dialect,
            streamed=call.stream,
            may_be_shortened=shortened,
        )
        for index, (request_id, asked) in enumerate(zip(request_ids, requests, strict=True))
    ]
    response = JobResponse(services, jobs, form(head, call), admission)
    if not (call.stream and call.resumable):
        return response
    owner = admission.caller.key.id if admission.caller.key is not None else ""
    return KeptResponse(response, services.streams.new(head.request_id, owner, trio.current_time()))


async def _session(services: EdgeServices, request: Request, body: dict[str, Any]) -> Session | None:
    """The kept conversation that this belongs to. A session_id alone is a label of other APIs: it keeps nothing."""
    if body.get("session_key") is None:
        return None
    if services.sessions is None:
        raise BadRequest("This node keeps no sessions.", param="session_key", remedy="Send the whole conversation.")
    return await services.sessions.begin(caller_of(request.scope), body)


def _is_small(services: EdgeServices, model: str) -> bool:
    """Whether every node that serves ``model`` has a context of the size up to which OpenRouter transforms unasked."""
    found = services.catalog.find(model)
    return found is not None and found.context_length <= SMALL_CONTEXT
