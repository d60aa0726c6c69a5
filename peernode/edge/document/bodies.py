"""The bodies that routes take. Whatever stands in them beside is ignored."""

from __future__ import annotations

from peernode.chat.embedding_request import MAX_INPUT_CHARS, MAX_INPUT_TOKENS, MAX_INPUTS
from peernode.chat.message import MAX_CALL_ID, MAX_CONTENT
from peernode.chat.request import MAX_MESSAGES
from peernode.chat.tools import MAX_TOOLS
from peernode.edge.completions.prompts import MAX_PROMPT_TOKENS, TOKEN_IDS
from peernode.edge.completions.text_call import MAX_LOGPROBS, NO_PLACE
from peernode.edge.document import call_forms as call
from peernode.edge.document import message_forms as message
from peernode.edge.document.forms import (
    ANY_OBJECT,
    BOOLEAN,
    Schema,
    const,
    either,
    integer,
    items,
    one_of,
    optional,
    record,
    ref,
    said,
    text,
    whole,
)
from peernode.edge.openai.chat_request import MAX_CHOICES
from peernode.edge.openai.embedding_call import FORMATS, MAX_DIMENSIONS
from peernode.edge.openai.embedding_call import TOKEN_IDS as EMBEDDED_IDS
from peernode.edge.peerwave.login import MAX_URL
from peernode.edge.peerwave.tool_routes import MAX_NAME
from peernode.edge.responses.response_body import NEEDS_MEMORY
from peernode.ledger.client_key import KEY_TEXT
from peernode.wire.logprobs import MAX_ALTERNATIVES

_COMMON = call.SAMPLING | call.LENGTH | call.STREAMING | call.FITTING | call.REFUSED
_SESSION = {
    "session_key": optional(
        text(pattern="[A-Za-z0-9+/_-]{43}=?"), "32 random bytes in base64: the conversation is kept, under this key."
    ),
    "session_id": said({}, "With ``session_key``: the UUID of the kept conversation that goes on."),
}
_CHAT = {
    "messages": message.MESSAGES,
    **_COMMON,
    **call.CHOICES,
    **call.LOGPROBS,
    **call.MANNER,
    "tools": message.TOOLS,
    "tool_choice": message.TOOL_CHOICE,
    "parallel_tool_calls": optional(BOOLEAN, "False: at most one call in an answer."),
    "response_format": optional(ref("ResponseFormat"), "The form of the answer; grammars are ours."),
    **call.OTHER_NAMES,
    **_SESSION,
}
_PEERWAVE = {name: form for name, form in _CHAT.items() if name not in (*call.CHOICES, *call.LOGPROBS)}
CHAT = record({**call.CHOOSING, **_CHAT}, ["messages"], **call.NAMES_A_MODEL)
PEERWAVE_CHAT = record({**call.CHOOSING, **_PEERWAVE}, ["messages"], **call.NAMES_A_MODEL)
OPENROUTER_CHAT = record(
    {**call.CHOOSING, **_CHAT, "prompt": said({"type": "null"}, "Not beside messages.")}, ["messages"]
)

_PROMPT = either(text(MAX_CONTENT, least=1), items(integer(TOKEN_IDS), least=1, most=MAX_PROMPT_TOKENS))
_TEXT = {
    "prompt": said(
        either(_PROMPT, items(_PROMPT, least=1, most=MAX_CHOICES)),
        "What is answered, or several of it. A text is what one user says; token ids are the prompt as it is, and so "
        f"are texts with a suffix. All answers to all prompts together are at most {MAX_CHOICES}.",
        examples=["Name a colour."],
    ),
    "suffix": optional(text(MAX_CONTENT), "What follows the gap that the answer fills, for models that can do that."),
    "best_of": optional(
        integer(range(1, MAX_CHOICES + 1)),
        "Make so many answers and return the ``n`` whose tokens were likeliest on average. All of them cost.",
    ),
    **{name: optional(items({}, most=0), "Not in a text.") for name in NO_PLACE},
    "messages": said({"type": "null"}, "Not beside a prompt."),
    **_COMMON,
    **call.CHOICES,
    **call.MANNER,
    "echo": optional(BOOLEAN, "Begin each text with its prompt; not of token ids, nor with ``logprobs``."),
    "logprobs": optional(
        either(integer(range(MAX_LOGPROBS + 1)), BOOLEAN), "How many of the likeliest tokens are told of each place."
    ),
    "response_format": optional(ref("ResponseFormat")),
    **call.OTHER_NAMES,
}
TEXT = record({**call.CHOOSING, **_TEXT}, ["prompt"], **call.NAMES_A_MODEL)
OPENROUTER_PROMPT = record({**call.CHOOSING, **_TEXT}, ["prompt"])
OPENROUTER: Schema = either(OPENROUTER_CHAT, OPENROUTER_PROMPT)

_INPUT_TEXT = record({"type": one_of("input_text", "output_text", "text"), "text": text(MAX_CONTENT)})
_REFUSAL = record({"type": const("refusal"), "refusal": text(MAX_CONTENT)})
_WORDS = either(text(MAX_CONTENT), items(either(_INPUT_TEXT, _REFUSAL)))
_CALL_NAME = message.TOOL["properties"]["function"]["properties"]["name"]
INPUT_ITEM: Schema = either(
    record(
        {"type": optional(const("message")), "role": one_of("system", "developer", "user"), "content": _WORDS},
        ["role", "content"],
    ),
    record({"type": optional(const("message")), "role": const("assistant"), "content": optional(_WORDS)}, ["role"]),
    record(
        {
            "type": const("function_call"),
            "call_id": optional(text(MAX_CALL_ID)),
            "name": _CALL_NAME,
            "arguments": optional(either(text(MAX_CONTENT), ANY_OBJECT)),
        },
        ["type", "name"],
    ),
    record(
        {"type": const("function_call_output"), "call_id": optional(text(MAX_CALL_ID)), "output": _WORDS},
        ["type", "output"],
    ),
    record({"type": const("reasoning")}),
)
_SAME = ("parallel_tool_calls", "service_tier", "share_prefix", "stream", "resumable")
RESPONSES = record(
    {
        **call.CHOOSING,
        "input": said(
            either(text(MAX_CONTENT), items(ref("InputItem"), least=1, most=MAX_MESSAGES - 1)),
            "What one user says, or the whole conversation: nothing is kept between two calls.",
            examples=["Name a colour."],
        ),
        "instructions": optional(text(MAX_CONTENT), "What the system says first."),
        **{name: form for name, form in call.SAMPLING.items() if name not in ("top_a", "repeat_penalty")},
        "max_output_tokens": call.LENGTH["max_tokens"],
        **{name: _CHAT[name] for name in _SAME},
        "text": optional(record({"format": optional(message.FLAT_FORMAT)}, ())),
        "reasoning": optional(record({"effort": call.MANNER["reasoning_effort"]}, ())),
        "tools": optional(items(message.FLAT_TOOL, most=MAX_TOOLS)),
        "tool_choice": optional(message.FLAT_TOOL_CHOICE),
        "truncation": optional(one_of("auto", "disabled"), "``auto`` lets a long conversation lose its middle."),
        "include": optional(items({}), "``message.output_text.logprobs``; the rest is ignored."),
        "top_logprobs": optional(integer(range(MAX_ALTERNATIVES + 1))),
        "metadata": optional(ANY_OBJECT, "Returned as it is."),
        "store": optional(BOOLEAN, "Nothing is stored in any case."),
        **{name: said(one_of(None, False), "Nothing is kept.") for name in NEEDS_MEMORY},
    },
    ["input"],
    **call.NAMES_A_MODEL,
)  # fmt: skip

_INPUT = text(MAX_INPUT_CHARS, least=1)
_TOKENS = items(integer(EMBEDDED_IDS), least=1, most=MAX_INPUT_TOKENS)
EMBEDDINGS = record(
    {
        **call.CHOOSING,
        "input": said(
            either(_INPUT, _TOKENS, items(either(_INPUT, _TOKENS), least=1, most=MAX_INPUTS)),
            "A text, token ids, or a list of either.",
            examples=["The sky is blue."],
        ),
        "encoding_format": optional(one_of(*FORMATS), "base64 holds 32-bit floats, little-endian."),
        "dimensions": optional(integer(range(1, MAX_DIMENSIONS + 1)), "Keep only so many, and scale to length 1."),
    },
    ["input"],
    **call.NAMES_A_MODEL,
)
TOOL_RUN = record(
    {
        "function": record(
            {
                "name": text(MAX_NAME, least=1),
                "arguments": optional(either(ANY_OBJECT, text()), "An object, or its JSON text."),
            },
            ["name"],
        )
    }
)
LOGIN = record(
    {
        "redirect": said(
            text(MAX_URL, pattern="https?://(?:.|\\s)+"),
            "Where the app is: on the caller's machine, or on this node's host.",
        ),
        "key": text(pattern=whole(KEY_TEXT)),
    }
)
COMPONENTS = {
    "Message": message.MESSAGE,
    "ToolCall": message.TOOL_CALL,
    "Tool": message.TOOL,
    "ResponseFormat": message.RESPONSE_FORMAT,
    "ProviderWishes": call.PROVIDER,
    "InputItem": INPUT_ITEM,
    "ChatBody": CHAT,
    "PeerwaveChatBody": PEERWAVE_CHAT,
    "OpenRouterBody": OPENROUTER,
    "TextBody": TEXT,
    "ResponsesBody": RESPONSES,
    "EmbeddingsBody": EMBEDDINGS,
    "ToolRunBody": TOOL_RUN,
}
