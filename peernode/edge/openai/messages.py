"""The ``messages`` array: roles, contents as text or parts, calls and their results, read into canonical messages."""

from __future__ import annotations

from typing import Any

from peernode.chat.canonical_json import canonical_json
from peernode.chat.errors import BadRequest
from peernode.chat.message import MAX_CALL_ID, MAX_CALLS, MAX_CONTENT, MAX_IMAGES, ROLES, Image, Message, ToolCall
from peernode.chat.request import MAX_MESSAGES
from peernode.edge.openai.fields import kind_of, text
from peernode.edge.openai.images import Fetched, read_base64, read_image_part, too_large
from peernode.edge.openai.tools import read_tool_name
from peernode.wire.bounds import MAX_IMAGES_BYTES
from peernode.wire.errors import BadSchema

MAX_NAME = 256
MAX_PARTS = 1024
_SHOWS_IMAGES = ("user", "tool")


def read_messages(value: object, fetched: Fetched) -> tuple[Message, ...]:
    """One Message per entry. Raises BadRequest for the first entry that is not one."""
    if value is None:
        raise BadRequest("messages is missing.", param="messages")
    if not isinstance(value, list):
        raise BadRequest("messages must be an array.", param="messages", cause=f"found {kind_of(value)}")
    if not value:
        raise BadRequest("messages must not be empty.", param="messages")
    if len(value) > MAX_MESSAGES:
        raise BadRequest("messages has too many entries.", param="messages", cause=f"{len(value)} of {MAX_MESSAGES}")
    messages, size = [], 0
    for index, entry in enumerate(value):
        message = _read_message(entry, f"messages[{index}]", fetched)
        size += sum(len(image.data) for image in message.images)
        if size > MAX_IMAGES_BYTES:
            raise too_large(f"messages[{index}]")
        messages.append(message)
    return tuple(messages)


def _read_message(entry: object, param: str, fetched: Fetched) -> Message:
    if not isinstance(entry, dict):
        raise BadRequest(f"{param} must be an object.", param=param, cause=f"found {kind_of(entry)}")
    role = entry.get("role")
    if role == "function" or entry.get("function_call"):
        raise BadRequest(
            "Function calls of the old kind are not read.", param=param, remedy="Send tool_calls and the role tool."
        )
    if role not in ROLES:
        raise BadRequest(f"{param}.role must be one of {', '.join(ROLES)}.", param=f"{param}.role")
    calls = _read_calls(entry.get("tool_calls"), role, f"{param}.tool_calls")
    name = entry.get("name")
    content, images = _read_content(entry.get("content"), role, f"{param}.content", fetched)
    return Message(
        role,
        content,
        "" if name is None else text(name, f"{param}.name", most=MAX_NAME, least=0),
        tool_call_id=_read_call_id(entry.get("tool_call_id"), f"{param}.tool_call_id") if role == "tool" else "",
        tool_calls=calls,
        images=(*_plain_images(entry.get("images"), role, f"{param}.images"), *images),
    )


def _read_content(content: object, role: str, param: str, fetched: Fetched) -> tuple[str, list[Image]]:
    if content is None:
        if role == "assistant":  # OpenAI's own form for a turn without words
            return "", []
        raise BadRequest(f"{param} is missing.", param=param)
    if isinstance(content, str):
        return text(content, param, most=MAX_CONTENT, least=0), []
    if not isinstance(content, list):
        raise BadRequest(f"{param} must be a string or an array of parts.", param=param, cause=kind_of(content))
    if len(content) > MAX_PARTS:
        raise BadRequest(f"{param} has too many parts.", param=param, cause=f"{len(content)} of {MAX_PARTS}")
    words, images, size = [], [], 0
    for index, part in enumerate(content):
        found = _read_part(part, role, f"{param}[{index}]", fetched)
        if isinstance(found, str):
            words.append(found)
            size += len(found)
        else:
            images.append(Image(size, found))
    if len(images) > MAX_IMAGES:
        raise BadRequest(f"{param} has too many images.", param=param, cause=f"{len(images)} of {MAX_IMAGES}")
    return text("".join(words), param, most=MAX_CONTENT, least=0), images


def _read_part(part: object, role: str, param: str, fetched: Fetched) -> str | bytes:
    if not isinstance(part, dict):
        raise BadRequest(f"{param} must be an object.", param=param, cause=f"found {kind_of(part)}")
    kind = part.get("type")
    if kind == "text":
        return text(part.get("text"), f"{param}.text", most=MAX_CONTENT, least=0)
    if kind == "refusal" and role == "assistant":  # what an answer's own refusal is sent back as
        return text(part.get("refusal"), f"{param}.refusal", most=MAX_CONTENT, least=0)
    if kind != "image_url":
        raise BadRequest(
            f"{param} is neither text nor an image, and nothing else is read.",
            param=param,
            remedy='Send parts of the types "text" and "image_url"; audio and files are not read.',
        )
    _may_show(role, param)
    return read_image_part(part, param, fetched)


def _plain_images(value: object, role: str, param: str) -> list[Image]:
    """``images``: base64 strings beside the content, as Ollama's and Peerwave's clients send them."""
    if value is None or value == []:
        return []
    if not isinstance(value, list) or len(value) > MAX_IMAGES:
        raise BadRequest(f"{param} must be an array of at most {MAX_IMAGES} images.", param=param)
    _may_show(role, param)
    return [Image(0, read_base64(entry, f"{param}[{index}]")) for index, entry in enumerate(value)]


def _may_show(role: str, param: str) -> None:
    if role not in _SHOWS_IMAGES:
        raise BadRequest(f"{param}: only users and tools show images.", param=param)


def _read_calls(value: object, role: str, param: str) -> tuple[ToolCall, ...]:
    if value is None or value == []:
        return ()
    if role != "assistant":
        raise BadRequest(f"{param}: only the assistant calls tools.", param=param)
    if not isinstance(value, list) or len(value) > MAX_CALLS:
        raise BadRequest(f"{param} must be an array of at most {MAX_CALLS} calls.", param=param)
    return tuple(_read_call(entry, f"{param}[{index}]") for index, entry in enumerate(value))


def _read_call(entry: object, param: str) -> ToolCall:
    function: Any = entry.get("function") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(function, dict):
        raise BadRequest(f"{param} is not the call of a function.", param=param)
    arguments = function.get("arguments")
    if isinstance(arguments, dict):  # Ollama's clients send the object itself
        try:
            arguments = canonical_json(arguments)
        except BadSchema as err:
            raise BadRequest(f"{param} has arguments that cannot be written as JSON.", param=param) from err
    return ToolCall(
        _read_call_id(entry.get("id"), f"{param}.id"),
        read_tool_name(function.get("name"), f"{param}.function.name"),
        "{}" if arguments is None else text(arguments, f"{param}.function.arguments", most=MAX_CONTENT, least=0),
    )


def _read_call_id(value: object, param: str) -> str:
    return "" if value is None else text(value, param, most=MAX_CALL_ID, least=0)
