"""A body with ``prompt``, read into the same calls as one with ``messages``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from peernode.chat.errors import BadRequest
from peernode.chat.request import ChatRequest
from peernode.edge.completions.prompts import read_prompts
from peernode.edge.openai import fields
from peernode.edge.openai.chat_request import MAX_CHOICES, ChatCall, read_chat_body

MAX_LOGPROBS = 5
NO_PLACE = ("tools", "functions")


@dataclass(frozen=True, slots=True)
class TextCall:
    """``call`` is that of the first prompt; ``requests`` has one entry for each answer that is made.

    The answers to one prompt stand together: ``best_of`` of them, of which the best ``kept`` are returned. ``echoes``
    has one entry for each that is returned: what its text begins with. ``shows_logprobs``: the client wants them.
    """

    call: ChatCall
    requests: tuple[ChatRequest, ...]
    echoes: tuple[str, ...]
    best_of: int = 1
    kept: int = 1
    shows_logprobs: bool = False


def read_text_body(body: Mapping[str, Any], *, usual_tokens: int | None = None) -> TextCall:
    """``usual_tokens`` is the limit where the body has none. Raises BadRequest."""
    prompts = read_prompts(body, most=MAX_CHOICES)
    _refuse_tools(body)
    echo = fields.boolean(body.get("echo"), "echo")
    top = _read_logprobs(body.get("logprobs"))
    if echo and top is not None:
        raise BadRequest("The log-probabilities of a prompt are not known.", param="echo", remedy="Leave echo out.")
    if echo and any(prompt.text is None for prompt in prompts):
        raise BadRequest("A prompt of token ids cannot be echoed as text.", param="echo", remedy="Leave echo out.")
    chat = {name: value for name, value in body.items() if name not in ("prompt", "logprobs", "top_logprobs")}
    if all(chat.get(limit) is None for limit in ("max_tokens", "max_completion_tokens")):
        chat["max_tokens"] = usual_tokens
    calls = [read_chat_body(chat, {}, messages=prompt.messages) for prompt in prompts]
    kept = calls[0].choices
    best_of = _read_best_of(body, kept, streamed=calls[0].stream)
    if len(calls) * best_of > MAX_CHOICES:
        raise BadRequest(f"There are more than {MAX_CHOICES} answers to give.", param="prompt")
    # Those that are compared are compared by their log-probabilities.
    asked = 0 if top is None and best_of > kept else top
    return TextCall(
        replace(calls[0], choices=len(calls) * best_of),
        tuple(request for call in calls for request in [replace(call.request, top_logprobs=asked)] * best_of),
        tuple((prompt.text or "") if echo else "" for prompt in prompts for _ in range(kept)),
        best_of,
        kept,
        top is not None,
    )


def _read_logprobs(value: object) -> int | None:
    """How many of the likeliest tokens are told of each place; None where nothing is."""
    if value is None or isinstance(value, bool):
        return 0 if value else None
    return fields.integer(value, "logprobs", within=range(MAX_LOGPROBS + 1))


def _read_best_of(body: Mapping[str, Any], kept: int, *, streamed: bool) -> int:
    value = body.get("best_of")
    if value is None:
        return kept
    best_of = fields.integer(value, "best_of", within=range(1, MAX_CHOICES + 1))
    if best_of < kept:
        raise BadRequest("best_of is less than n.", param="best_of", remedy="It counts all answers that are made.")
    if best_of > kept and streamed:
        raise BadRequest(
            "The best answers are known only at the end.", param="best_of", remedy="Leave best_of or stream out."
        )
    return best_of


def _refuse_tools(body: Mapping[str, Any]) -> None:
    for param in NO_PLACE:
        if body.get(param) is not None and body[param] != []:
            raise BadRequest(f"{param} have no place in a text.", param=param, remedy="Send messages.")
