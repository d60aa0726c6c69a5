"""One turn of a conversation: who spoke, the words, the pictures among them, and calls of tools and their results."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from peernode.chat.tools import read_tool_name
from peernode.wire.bounds import MAX_IMAGES_BYTES
from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader

ROLES = ("system", "developer", "user", "assistant", "tool")
# Prompts that no template goes around: token ids, in decimal and parted by spaces, or the texts beside a gap.
TOKENS, PREFIX, SUFFIX = "tokens", "prefix", "suffix"
RAW_ROLES = (TOKENS, PREFIX, SUFFIX)
MAX_CONTENT = 1 << 20
MAX_CALLS = 128
MAX_CALL_ID = 256
MAX_IMAGES = 64
_WITH_IMAGES = ("user", "tool")
_TOKEN_IDS = re.compile(r"[0-9]{1,10}(?: [0-9]{1,10})*")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the assistant made. ``arguments`` is its text as the model wrote it, which need not be JSON."""

    id: str
    name: str
    arguments: str

    def to_fields(self) -> list[Value]:
        return [self.id, self.name, self.arguments]

    @classmethod
    def from_fields(cls, value: Value) -> ToolCall:
        read = FieldReader("tool call", value)
        call = cls(
            read.text("id", most=MAX_CALL_ID), read_tool_name(read, "name"), read.text("arguments", most=MAX_CONTENT)
        )
        read.done()
        return call


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that stands in front of character ``at`` of its message; ``data`` are the bytes of its file."""

    at: int
    data: bytes

    def to_fields(self) -> list[Value]:
        return [self.at, self.data]

    @classmethod
    def from_fields(cls, value: Value) -> Image:
        read = FieldReader("image", value)
        image = cls(read.integer("at", most=MAX_CONTENT), read.octets("data", most=MAX_IMAGES_BYTES))
        read.done()
        if not image.data:
            raise BadSchema("An image is empty.")
        return image


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. ``name`` and ``tool_call_id`` are empty when the client gave none.

    Only the assistant calls tools, only a tool's result names the call it answers, and only what users and tools say
    holds images, in order of their places.
    """

    role: str
    content: str
    name: str = ""
    tool_call_id: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    images: tuple[Image, ...] = ()

    def to_fields(self) -> list[Value]:
        return [
            self.role,
            self.content,
            self.name,
            self.tool_call_id,
            [call.to_fields() for call in self.tool_calls],
            [image.to_fields() for image in self.images],
        ]

    @classmethod
    def from_fields(cls, value: Value) -> Message:
        """Raises BadSchema."""
        read = FieldReader("message", value)
        message = cls(
            read.text("role"),
            read.text("content", most=MAX_CONTENT),
            read.text("name"),
            read.text("tool_call_id", most=MAX_CALL_ID),
            read.items("tool_calls", ToolCall.from_fields, most=MAX_CALLS),
            read.items("images", Image.from_fields, most=MAX_IMAGES),
        )
        read.done()
        message._check()
        return message

    def _check(self) -> None:
        if self.role not in ROLES and self.role not in RAW_ROLES:
            raise BadSchema("A message has a role that does not exist.", cause=self.role[:32])
        if self.tool_calls and self.role != "assistant":
            raise BadSchema("Only the assistant calls tools.", cause=self.role)
        if self.tool_call_id and self.role != "tool":
            raise BadSchema("Only a tool's result names a call.", cause=self.role)
        if self.role == TOKENS and not _TOKEN_IDS.fullmatch(self.content):
            raise BadSchema("A prompt of token ids has none.")
        if self.images and self.role not in _WITH_IMAGES:
            raise BadSchema("Only users and tools show images.", cause=self.role)
        places = [0, *(image.at for image in self.images), len(self.content)]
        if any(one > other for one, other in itertools.pairwise(places)):
            raise BadSchema("The images of a message are not in order, or not within its text.")
