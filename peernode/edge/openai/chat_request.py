"""The body of ``POST /v1/chat/completions``, read into the canonical request and what belongs to the answer's form.

Owns what is asked of the whole; single fields are read by ``fields``, and each larger parameter by a module of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peernode.chat.errors import BadRequest, ContextTooLong
from peernode.chat.job import SEED_MASK
from peernode.chat.message import Message
from peernode.chat.output_format import FREE_TEXT
from peernode.chat.request import MAX_STOPS, MAX_TOKENS, ChatRequest
from peernode.chat.wishes import NO_WISHES, Wishes
from peernode.edge.openai import fields
from peernode.edge.openai.allowed_tools import narrow
from peernode.edge.openai.images import Fetched
from peernode.edge.openai.manner import read_background, read_reasoning
from peernode.edge.openai.messages import read_messages
from peernode.edge.openai.response_format import read_response_format
from peernode.edge.openai.sampling import read_sampling, read_top_logprobs
from peernode.edge.openai.tools import read_tool_choice, read_tools
from peernode.edge.openai.unsupported import refuse_unsupported
from peernode.edge.openai.wishes import read_models, read_wishes
from peernode.wire import canonical
from peernode.wire.bounds import MAX_WORDS_BYTES

MAX_STOP_CHARS = 1024
MAX_CHOICES = 8
_COMPRESSION = "context-compression"


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One call as the client made it. ``seed`` is None when the client left it to us.

    ``wishes`` name peers as the client does. ``middle_out``: whether a conversation that is too long may be shortened;
    None where the client does not say. ``resumable``: whether its stream goes on without its connection.
    """

    model: str
    request: ChatRequest
    seed: int | None
    choices: int
    stream: bool
    include_usage: bool
    wishes: Wishes = NO_WISHES
    middle_out: bool | None = None
    resumable: bool = False


def read_chat_call(raw: bytes) -> ChatCall:
    """Raises BadRequest with the parameter at fault; never anything else, whatever the bytes."""
    return read_chat_body(fields.parse_object(raw), {})


def read_chat_body(body: dict[str, Any], fetched: Fetched, *, messages: tuple[Message, ...] | None = None) -> ChatCall:
    """The same for a body that was parsed, and whose remote images were ``fetched``, by URL.

    ``messages`` stand for the body's own where it has a prompt.
    """
    model, *others = read_models(body)
    refuse_unsupported(body)
    seed, count = body.get("seed"), body.get("n")
    return ChatCall(
        model=model,
        request=_read_request(body, read_messages(body.get("messages"), fetched) if messages is None else messages),
        seed=None if seed is None else fields.integer(seed, "seed") & SEED_MASK,
        choices=1 if count is None else fields.integer(count, "n", within=range(1, MAX_CHOICES + 1)),
        stream=fields.boolean(body.get("stream"), "stream"),
        include_usage=_read_include_usage(body.get("stream_options")),
        wishes=read_wishes(body.get("provider"), tuple(others)),
        middle_out=_read_transforms(body),
        resumable=fields.boolean(body.get("resumable"), "resumable"),
    )


def _read_request(body: dict[str, Any], messages: tuple[Message, ...]) -> ChatRequest:
    choice, tools = narrow(body.get("tool_choice"), read_tools(body.get("tools")))
    parallel = body.get("parallel_tool_calls")
    request = ChatRequest(
        messages=messages,
        max_tokens=_read_limit(body),
        stop=_read_stop(body.get("stop")),
        sampling=read_sampling(body),
        top_logprobs=read_top_logprobs(body),
        format=read_response_format(body.get("response_format")),
        tools=tools,
        tool_choice=read_tool_choice(choice, tools),
        parallel_tool_calls=parallel is None or fields.boolean(parallel, "parallel_tool_calls"),
        reasoning=read_reasoning(body),
        background=read_background(body.get("service_tier")),
        share_prefix=fields.boolean(body.get("share_prefix"), "share_prefix"),
    )
    if request.format != FREE_TEXT and request.tool_choice not in ("none", "auto"):
        raise BadRequest(
            "A required tool call leaves no room for response_format.",
            param="response_format",
            remedy="Leave it out, or set tool_choice to auto or none.",
        )
    images = sum(len(image.data) for message in request.messages for image in message.images)
    size = len(canonical.encode(request.to_fields())) - images
    if size > MAX_WORDS_BYTES:
        raise ContextTooLong(
            "The conversation is too long.", param="messages", cause=f"{size} bytes of {MAX_WORDS_BYTES}"
        )
    return request


def _read_transforms(body: dict[str, Any]) -> bool | None:
    """``transforms``, or its newer name, the plugin "context-compression"; None when neither is there."""
    transforms, plugins = body.get("transforms"), body.get("plugins")
    if transforms is not None:
        if not isinstance(transforms, list) or any(each != "middle-out" for each in transforms):
            raise BadRequest('transforms can only hold "middle-out".', param="transforms")
        return bool(transforms)
    if isinstance(plugins, list):
        found = next((each for each in plugins if isinstance(each, dict) and each.get("id") == _COMPRESSION), None)
        return None if found is None else found.get("enabled") is not False
    return None


def _read_limit(body: dict[str, Any]) -> int | None:
    """``max_tokens`` and its newer name; both are fine as long as they agree."""
    limits = {
        param: fields.positive_integer(body[param], param, most=MAX_TOKENS)
        for param in ("max_tokens", "max_completion_tokens")
        if body.get(param) is not None
    }
    if len(set(limits.values())) > 1:
        raise BadRequest("max_tokens and max_completion_tokens differ.", param="max_tokens", remedy="Send one of them.")
    return next(iter(limits.values()), None)


def _read_stop(stop: object) -> tuple[str, ...]:
    if stop is None:
        return ()
    if isinstance(stop, str):
        stop = [stop]
    if not isinstance(stop, list):
        raise BadRequest("stop must be a string or an array of strings.", param="stop")
    if len(stop) > MAX_STOPS:
        raise BadRequest(f"stop has more than {MAX_STOPS} entries.", param="stop")
    return tuple(fields.text(entry, f"stop[{index}]", most=MAX_STOP_CHARS) for index, entry in enumerate(stop))


def _read_include_usage(options: object) -> bool:
    if options is None:
        return False
    if not isinstance(options, dict):
        raise BadRequest("stream_options must be an object.", param="stream_options")
    return fields.boolean(options.get("include_usage"), "stream_options.include_usage")
