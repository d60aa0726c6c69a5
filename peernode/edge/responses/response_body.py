"""The body of ``POST /v1/responses`` under the names that a chat's body has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from peernode.chat.errors import BadRequest
from peernode.edge.openai.allowed_tools import ALLOWED
from peernode.edge.openai.fields import boolean, kind_of
from peernode.edge.responses.input_items import messages_of

# What is the same in both.
_SAME = (
    "model", "models", "route", "provider", "stream", "temperature", "top_p", "parallel_tool_calls", "service_tier",
    "seed", "top_k", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias",
    "share_prefix", "resumable",
)  # fmt: skip
_RENAMED = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "transforms": "truncation",
}
# What would need a memory, or a time after the answer.
NEEDS_MEMORY = ("previous_response_id", "conversation", "prompt", "background")
_LOGPROBS = "message.output_text.logprobs"


def chat_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """Raises BadRequest for what this version cannot do, or cannot understand."""
    for param in NEEDS_MEMORY:
        if body.get(param) is not None and body[param] is not False:
            raise BadRequest(
                f"{param} is not part of this version: nothing is kept between two calls.",
                param=param,
                remedy="Send the whole conversation as input.",
            )
    chat: dict[str, Any] = {name: body[name] for name in _SAME if name in body}
    chat["messages"] = messages_of(body.get("input"))
    if body.get("instructions") is not None:
        if not isinstance(body["instructions"], str):
            raise BadRequest("instructions must be a string.", param="instructions")
        chat["messages"].insert(0, {"role": "system", "content": body["instructions"]})
    chat["max_tokens"] = body.get("max_output_tokens")
    chat["tools"] = _tools(body.get("tools"))
    chat["tool_choice"] = _tool_choice(body.get("tool_choice"))
    chat["response_format"] = _format(_object(body.get("text"), "text").get("format"))
    chat["reasoning_effort"] = _object(body.get("reasoning"), "reasoning").get("effort")
    chat["transforms"] = _truncation(body.get("truncation"))
    _object(body.get("metadata"), "metadata")
    boolean(body.get("store"), "store")
    return chat | _logprobs(body)


@contextmanager
def own_names() -> Iterator[None]:
    """A BadRequest that names a parameter of chats leaves with the one that the client sent."""
    try:
        yield
    except BadRequest as err:
        if err.param is not None:
            start = next((name for name in _RENAMED if err.param.startswith(name)), None)
            if start is not None:
                rest = "" if start == "messages" else err.param.removeprefix(start)
                err.param = _RENAMED[start] + rest
        raise


def _object(value: object, param: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"{param} must be an object.", param=param, cause=f"found {kind_of(value)}")
    return value


def _tools(value: object) -> object:
    """The function's own members stand beside its type here."""
    if not isinstance(value, list):
        return value
    for index, tool in enumerate(value):
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise BadRequest(
                f"tools[{index}] is not a function.", param=f"tools[{index}]", remedy="Only functions are called here."
            )
    return [{"type": "function", "function": {key: tool[key] for key in tool if key != "type"}} for tool in value]


def _tool_choice(value: object) -> object:
    if not isinstance(value, dict):
        return value
    if value.get("type") == "function":
        return {"type": "function", "function": {"name": value.get("name")}}
    if value.get("type") == ALLOWED:
        tools = value.get("tools")
        named = [_tool_choice(each) for each in tools] if isinstance(tools, list) else tools
        return {"type": ALLOWED, ALLOWED: {"mode": value.get("mode"), "tools": named}}
    return value


def _format(value: object) -> object:
    """A schema's own members stand beside its type here."""
    if isinstance(value, dict) and value.get("type") == "json_schema":
        return {"type": "json_schema", "json_schema": {key: value[key] for key in value if key != "type"}}
    return value


def _truncation(value: object) -> list[str] | None:
    if value not in (None, "auto", "disabled"):
        raise BadRequest('truncation must be "auto" or "disabled".', param="truncation")
    return {None: None, "auto": ["middle-out"], "disabled": list[str]()}[value]


def _logprobs(body: Mapping[str, Any]) -> dict[str, Any]:
    include = body.get("include")
    if include is not None and not isinstance(include, list):
        raise BadRequest("include must be an array of strings.", param="include", cause=f"found {kind_of(include)}")
    top = body.get("top_logprobs")
    if top or _LOGPROBS in (include or ()):
        return {"logprobs": True, "top_logprobs": 0 if top is None else top}
    return {}
