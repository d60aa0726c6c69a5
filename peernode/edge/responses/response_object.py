"""The ``response`` object: what was asked, what came, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peernode.edge.answers import error_object
from peernode.edge.openai.choice import Choice
from peernode.edge.openai.completion import AnswerHead, bill_of, model_of, usage_block
from peernode.edge.responses.output_items import COMPLETED, INCOMPLETE

PREFIX = "resp_"
_ERROR_CODES = {400: "invalid_prompt", 429: "rate_limit_exceeded"}
# What the client said, and what it is when nothing was said.
_ASKED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "service_tier": "default",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def response_object(
    head: AnswerHead, asked: Mapping[str, Any], one: Choice, status: str, output: list[dict[str, Any]]
) -> dict[str, Any]:
    """``asked`` is the client's own body."""
    return {
        "id": head.id,
        "object": "response",
        "created_at": head.created,
        "status": status,
        "model": model_of(head, [one]),
        "output": output,
        "error": _error(one),
        "incomplete_details": {"reason": "max_output_tokens"} if status == INCOMPLETE else None,
        **{name: usual if asked.get(name) is None else asked[name] for name, usual in _ASKED.items()},
        "reasoning": {"effort": (asked.get("reasoning") or {}).get("effort"), "summary": None},
        "background": False,
        "previous_response_id": None,
        "store": False,
        "usage": _usage(one) if one.settlement is not None else None,
        "request_id": head.request_id,
        **bill_of([one]),
    }


def status_of(one: Choice) -> str:
    """How a settled answer ended."""
    return INCOMPLETE if one.reason == "length" else COMPLETED


def _usage(one: Choice) -> dict[str, Any]:
    usual = usage_block([one])
    return {
        "input_tokens": usual["prompt_tokens"],
        "input_tokens_details": {**usual["prompt_tokens_details"], "cache_write_tokens": 0},
        "output_tokens": usual["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usual["total_tokens"],
        "cost": usual["cost"],
    }


def _error(one: Choice) -> dict[str, Any] | None:
    if one.error is None:
        return None
    about = error_object(one.error)
    return {**about, "status": about["code"], "code": _ERROR_CODES.get(about["code"], "server_error")}
