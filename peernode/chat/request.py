"""The canonical chat request: what the client wants said, in one form whatever dialect it came in."""

from __future__ import annotations

from dataclasses import dataclass

from peernode.chat.sampling import DEFAULTS, Sampling
from peernode.wire import canonical
from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader, as_text
from peernode.wire.logprobs import MAX_ALTERNATIVES

ROLES = ("system", "developer", "user", "assistant", "tool")
MAX_MESSAGES = 2048
MAX_CONTENT = 1 << 20
MAX_STOPS = 4
MAX_TOKENS = 1 << 20


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``name`` is empty when the client gave none."""

    role: str
    content: str
    name: str = ""

    def to_fields(self) -> list[Value]:
        return [self.role, self.content, self.name]

    @classmethod
    def from_fields(cls, value: Value) -> Message:
        read = FieldReader("message", value)
        message = cls(read.text("role"), read.text("content", most=MAX_CONTENT), read.text("name"))
        read.done()
        if message.role not in ROLES:
            raise BadSchema("A message has a role that does not exist.", cause=message.role[:32])
        return message


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Messages and how to answer them. ``max_tokens`` None leaves the length to the provider.

    ``top_logprobs`` None asks for no log-probabilities; 0 for those of the tokens that come, 1 … 20 for so many more.
    """

    messages: tuple[Message, ...]
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = DEFAULTS
    top_logprobs: int | None = None

    def to_fields(self) -> list[Value]:
        return [
            [message.to_fields() for message in self.messages],
            self.max_tokens,
            list(self.stop),
            self.sampling.to_fields(),
            self.top_logprobs,
        ]

    @classmethod
    def from_fields(cls, value: Value) -> ChatRequest:
        read = FieldReader("chat request", value)
        messages = read.items("messages", Message.from_fields, most=MAX_MESSAGES)
        limit = _optional(read.nested("max_tokens"), "max_tokens", range(1, MAX_TOKENS + 1))
        stop = read.items("stop", as_text, most=MAX_STOPS)
        sampling = Sampling.from_fields(read.nested("sampling"))
        top_logprobs = _optional(read.nested("top_logprobs"), "top_logprobs", range(MAX_ALTERNATIVES + 1))
        read.done()
        if not messages:
            raise BadSchema("A chat request has no messages.")
        if "" in stop:
            raise BadSchema("A stop string is empty.")
        return cls(messages, limit, stop, sampling, top_logprobs)

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
