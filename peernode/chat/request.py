"""The canonical chat request: what the client wants said, in one form whatever dialect it came in."""

from __future__ import annotations

from dataclasses import dataclass

from peernode.chat.message import MAX_CONTENT, PREFIX, RAW_ROLES, ROLES, SUFFIX, TOKENS, Message
from peernode.chat.output_format import FREE_TEXT, OutputFormat
from peernode.chat.sampling import DEFAULTS, Sampling
from peernode.chat.tools import MAX_TOOL_NAME, MAX_TOOLS, NAMED, Tool, check_tool_choice
from peernode.wire import canonical
from peernode.wire.bounds import MAX_IMAGES_BYTES
from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader, as_text
from peernode.wire.logprobs import MAX_ALTERNATIVES

__all__ = ["MAX_CONTENT", "MAX_MESSAGES", "MAX_STOPS", "MAX_TOKENS", "ROLES", "ChatRequest", "Message"]

MAX_MESSAGES = 2048
MAX_STOPS = 4
MAX_TOKENS = 1 << 20
# Whether the template's switch for thinking is set, and how.
REASONING = ("", "off", "on")
_RAW_FORMS = ((TOKENS,), (PREFIX, SUFFIX))


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Messages and how to answer them. ``max_tokens`` None leaves the length to the provider.

    ``top_logprobs`` None asks for no log-probabilities; 0 for those of the tokens that come, 1 … 20 for so many more.
    ``tool_choice`` is none, auto, required, or ``function:`` and a name. ``reasoning`` is off, on, or empty where the
    model's own habit stands. ``background`` gives way to others; ``share_prefix`` shares the cached prompt with
    strangers.
    """

    messages: tuple[Message, ...]
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = DEFAULTS
    top_logprobs: int | None = None
    format: OutputFormat = FREE_TEXT
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "none"
    parallel_tool_calls: bool = True
    reasoning: str = ""
    background: bool = False
    share_prefix: bool = False

    @property
    def is_raw(self) -> bool:
        """Whether the prompt is not a conversation, and no template goes around it."""
        return self.messages[0].role in RAW_ROLES

    @property
    def calls_tools(self) -> bool:
        """Whether the answer may hold calls, so that they are looked for."""
        return bool(self.tools) and self.tool_choice != "none"

    def to_fields(self) -> list[Value]:
        return [
            [message.to_fields() for message in self.messages],
            self.max_tokens,
            list(self.stop),
            self.sampling.to_fields(),
            self.top_logprobs,
            self.format.to_fields(),
            [tool.to_fields() for tool in self.tools],
            self.tool_choice,
            self.parallel_tool_calls,
            self.reasoning,
            self.background,
            self.share_prefix,
        ]

    @classmethod
    def from_fields(cls, value: Value) -> ChatRequest:
        """Raises BadSchema."""
        read = FieldReader("chat request", value)
        request = cls(
            read.items("messages", Message.from_fields, most=MAX_MESSAGES),
            _optional(read.nested("max_tokens"), "max_tokens", range(1, MAX_TOKENS + 1)),
            read.items("stop", as_text, most=MAX_STOPS),
            Sampling.from_fields(read.nested("sampling")),
            _optional(read.nested("top_logprobs"), "top_logprobs", range(MAX_ALTERNATIVES + 1)),
            OutputFormat.from_fields(read.nested("format")),
            read.items("tools", Tool.from_fields, most=MAX_TOOLS),
            read.text("tool_choice", most=len(NAMED) + MAX_TOOL_NAME),
            read.boolean("parallel_tool_calls"),
            read.text("reasoning", most=8),
            read.boolean("background"),
            read.boolean("share_prefix"),
        )
        read.done()
        request._check()
        return request

    def _check(self) -> None:
        if not self.messages:
            raise BadSchema("A chat request has no messages.")
        roles = tuple(message.role for message in self.messages)
        if any(role in RAW_ROLES for role in roles) and (roles not in _RAW_FORMS or self.tools):
            raise BadSchema("A prompt without a template is token ids, or a prefix and a suffix, without tools.")
        if "" in self.stop:
            raise BadSchema("A stop string is empty.")
        check_tool_choice(self.tool_choice, self.tools)
        if self.reasoning not in REASONING:
            raise BadSchema("A request asks for an unknown way of thinking.", cause=self.reasoning)
        images = sum(len(image.data) for message in self.messages for image in message.images)
        if images > MAX_IMAGES_BYTES:
            raise BadSchema("The images of a request are too large.", cause=f"{images} bytes of {MAX_IMAGES_BYTES}")

    @property
    def digest(self) -> bytes:
        """BLAKE2b-256 of the canonical request; what a receipt calls ``request_digest``."""
        return canonical.digest(canonical.encode(self.to_fields()))


def _optional(value: Value, name: str, within: range) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value not in within:
        raise BadSchema(f"{name} is not an integer in its range.", cause=f"{within.start}…{within.stop - 1}")
    return value
