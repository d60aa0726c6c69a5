"""``messages``, ``tools`` and forms of answers as schemas; their parsers are the modules of ``edge.openai``."""

from __future__ import annotations

from peernode.chat.message import MAX_CALL_ID, MAX_CALLS, MAX_CONTENT, MAX_IMAGES
from peernode.chat.output_format import MAX_SOURCE
from peernode.chat.request import MAX_MESSAGES
from peernode.chat.tools import MAX_DESCRIPTION, MAX_TOOL_NAME, MAX_TOOLS, TOOL_NAME
from peernode.edge.document.forms import (
    ANY_OBJECT,
    BOOLEAN,
    Schema,
    const,
    either,
    items,
    one_of,
    optional,
    record,
    ref,
    said,
    text,
    whole,
)
from peernode.edge.openai.images import MAX_URL
from peernode.edge.openai.messages import MAX_NAME, MAX_PARTS

_BASE64 = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)"
_DATA_URL = text(least=1, pattern=f"data:image/[a-z0-9.+-]{{1,64}};base64,{_BASE64}")
_NAME = text(MAX_TOOL_NAME, least=1, pattern=whole(TOOL_NAME))
_URL = either(
    _DATA_URL,
    said(text(MAX_URL, pattern="https?://.+"), "Fetched by the node, where its operator allows that."),
)
TEXT_PART = record({"type": const("text"), "text": text(MAX_CONTENT)})
_REFUSAL_PART = record({"type": const("refusal"), "refusal": text(MAX_CONTENT)})
IMAGE_PART = record({"type": const("image_url"), "image_url": either(_URL, record({"url": _URL}))})
_NO_CALLS = optional(items({}, most=0), "Only the assistant calls tools.")
_NO_IMAGES = optional(items({}, most=0), "Only users and tools show images.")
_SPEAKER = optional(text(MAX_NAME), "Who speaks, for templates that say so.")
_IMAGES = optional(
    items(text(least=4, pattern=_BASE64), most=MAX_IMAGES), "Images in base64 beside the content, as Ollama has them."
)


def _words(*parts: Schema) -> Schema:
    part = parts[0] if len(parts) == 1 else either(*parts)
    return either(text(MAX_CONTENT), items(part, most=MAX_PARTS))


_SYSTEM = record(
    {
        "role": one_of("system", "developer"),
        "content": _words(TEXT_PART),
        "name": _SPEAKER,
        "tool_calls": _NO_CALLS,
        "images": _NO_IMAGES,
    },
    ["role", "content"],
)
_USER = record(
    {
        "role": const("user"),
        "content": _words(TEXT_PART, IMAGE_PART),
        "name": _SPEAKER,
        "tool_calls": _NO_CALLS,
        "images": _IMAGES,
    },
    ["role", "content"],
)
_ASSISTANT = record(
    {
        "role": const("assistant"),
        "content": optional(
            _words(TEXT_PART, _REFUSAL_PART), "A last turn of the assistant is continued by the answer."
        ),
        "name": _SPEAKER,
        "tool_calls": optional(items(ref("ToolCall"), most=MAX_CALLS)),
        "images": _NO_IMAGES,
    },
    ["role"],
)
_TOOL = record(
    {
        "role": const("tool"),
        "content": _words(TEXT_PART, IMAGE_PART),
        "name": _SPEAKER,
        "tool_call_id": optional(text(MAX_CALL_ID)),
        "tool_calls": _NO_CALLS,
        "images": _IMAGES,
    },
    ["role", "content"],
)
MESSAGE: Schema = {"oneOf": [_SYSTEM, _USER, _ASSISTANT, _TOOL]}
MESSAGES = said(
    items(ref("Message"), most=MAX_MESSAGES, least=1),
    "The conversation.",
    examples=[[{"role": "user", "content": "Name a colour."}]],
)
TOOL_CALL = record(
    {
        "id": optional(text(MAX_CALL_ID)),
        "type": said({}, '"function", if it is there.'),
        "function": record(
            {
                "name": _NAME,
                "arguments": optional(
                    either(text(MAX_CONTENT), ANY_OBJECT), "Text as the model wrote it, or the object itself."
                ),
            },
            ["name"],
        ),
    },
    ["function"],
)
_FUNCTION = {
    "name": _NAME,
    "description": optional(text(MAX_DESCRIPTION)),
    "parameters": optional(ANY_OBJECT, "A JSON schema of the arguments, an object."),
    "strict": optional(BOOLEAN),
}
TOOL = record({"type": const("function"), "function": record(_FUNCTION, ["name"])})
TOOLS = optional(items(ref("Tool"), most=MAX_TOOLS), "Functions that the model may call; no two of one name.")
_NAMED = record({"type": const("function"), "function": record({"name": _NAME})})
_FLAT_NAMED = record({"type": const("function"), "name": _NAME})


def _allowed(tool: Schema) -> dict[str, Schema]:
    return {"mode": one_of("auto", "required"), "tools": items(tool, least=1)}


TOOL_CHOICE = optional(
    either(
        one_of("none", "auto", "required"),
        _NAMED,
        record({"type": const("allowed_tools"), "allowed_tools": record(_allowed(_NAMED))}),
    ),
    "Whether a function is called, or which of ``tools``. ``required`` needs ``tools``.",
)
# The function's members stand beside its type in the newer API.
FLAT_TOOL = record({"type": const("function"), **_FUNCTION}, ["type", "name"])
FLAT_TOOL_CHOICE = either(
    one_of("none", "auto", "required"),
    _FLAT_NAMED,
    record({"type": const("allowed_tools"), **_allowed(_FLAT_NAMED)}),
)
_GRAMMAR = record(
    {
        "type": const("grammar"),
        "syntax": one_of("regex", "lark"),
        "grammar": text(MAX_SOURCE, least=1),
    }
)
_JSON_OBJECT = record(
    {"type": const("json_object"), "schema": optional(ANY_OBJECT, "A JSON schema, as llama.cpp's clients send it.")},
    ["type"],
)
_SCHEMA = {"schema": said(ANY_OBJECT, "A JSON schema."), "strict": optional(BOOLEAN)}
RESPONSE_FORMAT: Schema = either(
    record({"type": const("text")}),
    _JSON_OBJECT,
    record({"type": const("json_schema"), "json_schema": record(_SCHEMA, ["schema"])}),
    _GRAMMAR,
)
FLAT_FORMAT: Schema = either(
    record({"type": const("text")}),
    _JSON_OBJECT,
    record({"type": const("json_schema"), **_SCHEMA}, ["type", "schema"]),
    _GRAMMAR,
)
