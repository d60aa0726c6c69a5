"""The body of ``POST /v1/chat/completions``, read into the canonical request and what belongs to the answer's form.

Owns which reasons for refusal exist; single fields are read by ``fields``, messages by ``messages``, and
how tokens are chosen by ``sampling``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peernode.chat.errors import BadRequest, ContextTooLong
from peernode.chat.job import SEED_MASK
from peernode.chat.request import MAX_STOPS, MAX_TOKENS, ChatRequest
from peernode.edge.openai import fields
from peernode.edge.openai.messages import read_messages
from peernode.edge.openai.sampling import read_sampling, read_top_logprobs
from peernode.edge.openai.unsupported import refuse_unsupported
from peernode.wire import canonical

MAX_MODEL_NAME = 256
MAX_STOP_CHARS = 1024
# An offer to a peer may have 1 MiB, and beside the request it may carry the tokens of earlier parts.
MAX_REQUEST_BYTES = 640 * 1024


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One call as the client made it. ``seed`` is None when the client left it to us."""

    model: str
    request: ChatRequest
    seed: int | None
    stream: bool
    include_usage: bool


def read_chat_call(raw: bytes) -> ChatCall:
    """Raises BadRequest with the parameter at fault; never anything else, whatever the bytes."""
    body = fields.parse_object(raw)
    if body.get("model") is None:
        raise BadRequest("model is missing.", param="model", remedy="GET /v1/models lists what there is.")
    model = fields.text(body["model"], "model", most=MAX_MODEL_NAME)
    refuse_unsupported(body)
    request = ChatRequest(
        messages=read_messages(body.get("messages")),
        max_tokens=_read_limit(body),
        stop=_read_stop(body.get("stop")),
        sampling=read_sampling(body),
        top_logprobs=read_top_logprobs(body),
    )
    size = len(canonical.encode(request.to_fields()))
    if size > MAX_REQUEST_BYTES:
        raise ContextTooLong(
            "The conversation is too long.", param="messages", cause=f"{size} bytes of {MAX_REQUEST_BYTES}"
        )
    seed = body.get("seed")
    stream = fields.boolean(body.get("stream"), "stream")
    return ChatCall(
        model=model,
        request=request,
        seed=None if seed is None else fields.integer(seed, "seed") & SEED_MASK,
        stream=stream,
        include_usage=_read_include_usage(body.get("stream_options")),
    )


def _read_limit(body: dict[str, Any]) -> int | None:
    """``max_tokens`` and its newer name; both are fine as long as they agree."""
    limits = {
        param: fields.positive_integer(body[param], param, most=MAX_TOKENS)
        for param in ("max_tokens", "max_completion_tokens")
        if body.get(param) is not None
    }
    if len(set(limits.values())) > 1:
        raise BadRequest("max_tokens and max_completion_tokens differ.", param="max_tokens", remedy="Send one of them.")
    return next(iter(limits.values()), None)


def _read_stop(stop: object) -> tuple[str, ...]:
    if stop is None:
        return ()
    if isinstance(stop, str):
        stop = [stop]
    if not isinstance(stop, list):
        raise BadRequest("stop must be a string or an array of strings.", param="stop")
    if len(stop) > MAX_STOPS:
        raise BadRequest(f"stop has more than {MAX_STOPS} entries.", param="stop")
    return tuple(fields.text(entry, f"stop[{index}]", most=MAX_STOP_CHARS) for index, entry in enumerate(stop))


def _read_include_usage(options: object) -> bool:
    if options is None:
        return False
    if not isinstance(options, dict):
        raise BadRequest("stream_options must be an object.", param="stream_options")
    return fields.boolean(options.get("include_usage"), "stream_options.include_usage")
