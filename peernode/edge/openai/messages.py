"""The ``messages`` array: roles, and contents given as text or as parts of text, read into canonical messages."""

from __future__ import annotations

from peernode.chat.errors import BadRequest
from peernode.chat.request import MAX_CONTENT, MAX_MESSAGES, Message
from peernode.edge.openai.fields import kind_of, text

ROLES = ("system", "developer", "user", "assistant")
MAX_NAME = 256
MAX_PARTS = 1024


def read_messages(value: object) -> tuple[Message, ...]:
    """One Message per entry. Raises BadRequest for the first entry that is not one."""
    if value is None:
        raise BadRequest("messages is missing.", param="messages")
    if not isinstance(value, list):
        raise BadRequest("messages must be an array.", param="messages", cause=f"found {kind_of(value)}")
    if not value:
        raise BadRequest("messages must not be empty.", param="messages")
    if len(value) > MAX_MESSAGES:
        raise BadRequest("messages has too many entries.", param="messages", cause=f"{len(value)} of {MAX_MESSAGES}")
    return tuple(_read_message(entry, f"messages[{index}]") for index, entry in enumerate(value))


def _read_message(entry: object, param: str) -> Message:
    if not isinstance(entry, dict):
        raise BadRequest(f"{param} must be an object.", param=param, cause=f"found {kind_of(entry)}")
    role = entry.get("role")
    if role in ("tool", "function") or entry.get("tool_calls") or entry.get("function_call"):
        raise BadRequest(
            "Tool calls are not part of this version.", param=param, remedy="Send the conversation without them."
        )
    if role not in ROLES:
        raise BadRequest(f"{param}.role must be one of {', '.join(ROLES)}.", param=f"{param}.role")
    name = entry.get("name")
    return Message(
        role,
        _read_content(entry.get("content"), role, f"{param}.content"),
        "" if name is None else text(name, f"{param}.name", most=MAX_NAME, least=0),
    )


def _read_content(content: object, role: str, param: str) -> str:
    if content is None:
        if role == "assistant":  # OpenAI's own form for a turn without words
            return ""
        raise BadRequest(f"{param} is missing.", param=param)
    if isinstance(content, str):
        return text(content, param, most=MAX_CONTENT, least=0)
    if not isinstance(content, list):
        raise BadRequest(f"{param} must be a string or an array of parts.", param=param, cause=kind_of(content))
    if len(content) > MAX_PARTS:
        raise BadRequest(f"{param} has too many parts.", param=param, cause=f"{len(content)} of {MAX_PARTS}")
    joined = "".join(_read_part(part, f"{param}[{index}]") for index, part in enumerate(content))
    return text(joined, param, most=MAX_CONTENT, least=0)


def _read_part(part: object, param: str) -> str:
    if not isinstance(part, dict):
        raise BadRequest(f"{param} must be an object.", param=param, cause=f"found {kind_of(part)}")
    if part.get("type") != "text":
        raise BadRequest(
            f"{param} is not text, and this version reads only text.",
            param=param,
            remedy='Send parts of {"type": "text"} only; images, audio and files come later.',
        )
    return text(part.get("text"), f"{param}.text", most=MAX_CONTENT, least=0)
