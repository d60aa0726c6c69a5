"""The canonical chat request: what the client wants said, in one form whatever dialect it came in.

Fractions are held as millionths, so that the request has one encoding and both sides digest the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire import canonical
from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader, as_text

MICRO = 1_000_000
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
class Sampling:
    """How the next token is chosen. Temperature 0…2 and top_p 0…1, in millionths; temperature 0 is argmax."""

    temperature_micro: int = MICRO
    top_p_micro: int = MICRO

    @classmethod
    def of(cls, *, temperature: float = 1.0, top_p: float = 1.0) -> Sampling:
        return cls(round(temperature * MICRO), round(top_p * MICRO))

    @property
    def temperature(self) -> float:
        return self.temperature_micro / MICRO

    @property
    def top_p(self) -> float:
        return self.top_p_micro / MICRO

    def to_fields(self) -> list[Value]:
        return [self.temperature_micro, self.top_p_micro]

    @classmethod
    def from_fields(cls, value: Value) -> Sampling:
        read = FieldReader("sampling", value)
        sampling = cls(read.integer("temperature", most=2 * MICRO), read.integer("top_p", most=MICRO))
        read.done()
        return sampling

    @property
    def digest(self) -> bytes:
        """Names the sampler's parameters in a receipt."""
        return canonical.digest(canonical.encode(self.to_fields()))


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Messages and how to answer them. ``max_tokens`` None leaves the length to the provider."""

    messages: tuple[Message, ...]
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = Sampling()

    def to_fields(self) -> list[Value]:
        return [
            [message.to_fields() for message in self.messages],
            self.max_tokens,
            list(self.stop),
            self.sampling.to_fields(),
        ]

    @classmethod
    def from_fields(cls, value: Value) -> ChatRequest:
        read = FieldReader("chat request", value)
        messages = read.items("messages", Message.from_fields, most=MAX_MESSAGES)
        limit = read.nested("max_tokens")
        stop = read.items("stop", as_text, most=MAX_STOPS)
        sampling = Sampling.from_fields(read.nested("sampling"))
        read.done()
        if not messages:
            raise BadSchema("A chat request has no messages.")
        if "" in stop:
            raise BadSchema("A stop string is empty.")
        if limit is not None and (
            not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_TOKENS
        ):
            raise BadSchema("max_tokens is not a positive integer.")
        return cls(messages, limit, stop, sampling)

    @property
    def digest(self) -> bytes:
        """BLAKE2b-256 of the canonical request; what a receipt calls ``request_digest``."""
        return canonical.digest(canonical.encode(self.to_fields()))
