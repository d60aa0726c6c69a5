"""``input``: text, messages, calls of functions and their outputs, as the messages that a chat has."""

from __future__ import annotations

from typing import Any

from peernode.chat.errors import BadRequest
from peernode.chat.request import MAX_MESSAGES
from peernode.edge.openai import fields

_TEXT = ("input_text", "output_text", "text")


def messages_of(value: object) -> list[dict[str, Any]]:
    """Bodies of messages, not yet validated as such. Raises BadRequest for items that are none of those read here."""
    if value is None:
        raise BadRequest("input is missing.", param="input")
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not value:
        raise BadRequest("input must be text, or an array of items.", param="input")
    if len(value) > MAX_MESSAGES:
        raise BadRequest("input has too many items.", param="input", cause=f"{len(value)} of {MAX_MESSAGES}")
    messages: list[dict[str, Any]] = []
    for index, item in enumerate(value):
        _add(messages, item, f"input[{index}]")
    if not messages:
        raise BadRequest("input holds nothing to answer.", param="input")
    return messages


def _add(messages: list[dict[str, Any]], item: object, param: str) -> None:
    if not isinstance(item, dict):
        raise BadRequest(f"{param} must be an object.", param=param, cause=f"found {fields.kind_of(item)}")
    kind = item.get("type")
    if kind == "reasoning":
        return  # what a model thought before is not told to it again
    if kind == "function_call":
        _add_call(messages, item)
    elif kind == "function_call_output":
        content = _content(item.get("output"), f"{param}.output")
        messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
    elif kind in (None, "message") and "role" in item:
        messages.append({"role": item["role"], "content": _content(item.get("content"), f"{param}.content")})
    else:
        raise BadRequest(
            f"{param} is of a type that is not read.",
            param=f"{param}.type",
            cause=f"found {kind!a}"[:100],
            remedy="Send messages, function_call and function_call_output; nothing is stored to refer to.",
        )


def _add_call(messages: list[dict[str, Any]], item: dict[str, Any]) -> None:
    """Calls belong to the turn of the assistant that they follow."""
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    call = {"id": item.get("call_id"), "type": "function", "function": function}
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)


def _content(value: object, param: str) -> object:
    if not isinstance(value, list):
        return value
    return [_part(part, f"{param}[{index}]") for index, part in enumerate(value)]


def _part(part: object, param: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(part, dict) and kind in _TEXT:
        return {"type": "text", "text": part.get("text")}
    if isinstance(part, dict) and kind == "refusal":
        return {"type": "text", "text": part.get("refusal")}
    if isinstance(part, dict) and kind == "input_image" and part.get("image_url") is not None:
        return {"type": "image_url", "image_url": part["image_url"]}
    raise BadRequest(
        f"{param} is neither text nor an image with a URL.",
        param=param,
        remedy="Files are not read, nor stored images.",
    )
