"""What Peerwave's clients read of an answer: ``{model, message}``, and the credits it cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from peernode.chat.markup import Piece
from peernode.edge.openai.choice import message_of
from peernode.edge.openai.completion import MICRO, AnswerHead, Said, bill_of, credits_of, model_of


def reply(head: AnswerHead, said: Sequence[Said]) -> dict[str, Any]:
    """The whole answer, with names of our own beside those that are known."""
    choices = [each.choice for each in said]
    return {
        "model": model_of(head, choices),
        "message": message(said[0].pieces),
        "done": True,
        "finish_reason": choices[0].reason,
        "Credits": credits_of(choices) / MICRO,
        "request_id": head.request_id,
        **bill_of(choices),
    }


def message(pieces: Sequence[Piece]) -> dict[str, Any]:
    """OpenAI's message with the arguments of calls as objects, and thoughts as Ollama's clients call them."""
    usual = message_of(list(pieces))
    made = {"role": usual["role"], "content": usual["content"] or ""}
    if "reasoning_content" in usual:
        made["thinking"] = usual["reasoning_content"]
    if "tool_calls" in usual:
        made["tool_calls"] = [_call(call) for call in usual["tool_calls"]]
    return made


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {"id": call["id"], "function": {"name": function["name"], "arguments": _object(function["arguments"])}}


def _object(arguments: str) -> object:
    """The arguments as the text has them; text that is no JSON, as a model may write it, stays text."""
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
