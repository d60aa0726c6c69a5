"""A body with ``prompt``, read into the same calls as one with ``messages``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from peernode.chat.errors import BadRequest
from peernode.chat.message import MAX_CONTENT
from peernode.chat.request import ChatRequest
from peernode.edge.openai import fields
from peernode.edge.openai.chat_request import MAX_CHOICES, ChatCall, read_chat_body

MAX_LOGPROBS = 5
_NO_PLACE = ("tools", "functions")


@dataclass(frozen=True, slots=True)
class TextCall:
    """``call`` is that of the first prompt; ``requests`` and ``echoes`` have one entry for each choice.

    The choices of one prompt stand together. An echo is what a choice's text begins with.
    """

    call: ChatCall
    requests: tuple[ChatRequest, ...]
    echoes: tuple[str, ...]


def read_text_body(body: Mapping[str, Any], *, usual_tokens: int | None = None) -> TextCall:
    """``usual_tokens`` is the limit where the body has none. Raises BadRequest."""
    prompts = _prompts(body)
    echo = fields.boolean(body.get("echo"), "echo")
    logprobs = body.get("logprobs")
    _refuse(body, echoes_logprobs=echo and logprobs is not None)
    chat = {name: value for name, value in body.items() if name not in ("prompt", "logprobs", "top_logprobs")}
    if logprobs is not None and logprobs is not False:
        top = 0 if logprobs is True else fields.integer(logprobs, "logprobs", within=range(MAX_LOGPROBS + 1))
        chat |= {"logprobs": True, "top_logprobs": top}
    if all(chat.get(limit) is None for limit in ("max_tokens", "max_completion_tokens")):
        chat["max_tokens"] = usual_tokens
    calls = [read_chat_body({**chat, "messages": [{"role": "user", "content": each}]}, {}) for each in prompts]
    choices = calls[0].choices
    if len(calls) * choices > MAX_CHOICES:
        raise BadRequest(f"There are more than {MAX_CHOICES} answers to give.", param="prompt")
    return TextCall(
        replace(calls[0], choices=len(calls) * choices),
        tuple(call.request for call in calls for _ in range(choices)),
        tuple(prompt if echo else "" for prompt in prompts for _ in range(choices)),
    )


def _prompts(body: Mapping[str, Any]) -> list[str]:
    prompt = body.get("prompt")
    if prompt is None:
        raise BadRequest("prompt is missing.", param="prompt")
    if body.get("messages") is not None:
        raise BadRequest("There are both messages and a prompt.", param="prompt", remedy="Send one of them.")
    if isinstance(prompt, str):
        prompt = [prompt]
    if not isinstance(prompt, list) or not prompt:
        raise BadRequest("prompt must be a string, or an array of strings.", param="prompt")
    if any(not isinstance(each, str) for each in prompt):
        raise BadRequest(
            "prompt must be text: token ids mean something else to each model.",
            param="prompt",
            remedy="Send the text itself.",
        )
    if len(prompt) > MAX_CHOICES:
        raise BadRequest(f"prompt has more than {MAX_CHOICES} entries.", param="prompt")
    return [fields.text(each, f"prompt[{at}]", most=MAX_CONTENT) for at, each in enumerate(prompt)]


def _refuse(body: Mapping[str, Any], *, echoes_logprobs: bool) -> None:
    """What would change the answer and cannot be had."""
    if body.get("suffix"):
        raise BadRequest(
            "Filling in before a suffix is not part of this version.",
            param="suffix",
            remedy="Leave suffix out; it is refused rather than ignored.",
        )
    best_of = body.get("best_of")
    if best_of is not None and best_of != (1 if body.get("n") is None else body["n"]):
        raise BadRequest(
            "To choose among more answers than are returned is not part of this version.",
            param="best_of",
            remedy="Send n, and choose among the answers.",
        )
    if echoes_logprobs:
        raise BadRequest("The log-probabilities of a prompt are not known.", param="echo", remedy="Leave echo out.")
    for param in _NO_PLACE:
        if body.get(param):
            raise BadRequest(f"{param} have no place in a text.", param=param, remedy="Send messages.")
