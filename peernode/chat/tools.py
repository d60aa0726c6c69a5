"""The tools that a model may call, and whether it must: names, descriptions, and schemas of their arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from peernode.chat.canonical_json import read_canonical_json
from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader

MAX_TOOLS = 128
MAX_TOOL_NAME = 128
MAX_DESCRIPTION = 1 << 16
MAX_PARAMETERS = 1 << 18
NO_PARAMETERS = '{"type":"object","properties":{}}'
NAMED = "function:"
# Every notation of calls can hold such a name, and none can be confused by it.
TOOL_NAME = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Tool:
    """``parameters`` is the JSON schema of the arguments as canonical JSON text: an object."""

    name: str
    description: str = ""
    parameters: str = NO_PARAMETERS
    strict: bool = False

    def to_fields(self) -> list[Value]:
        return [self.name, self.description, self.parameters, self.strict]

    @classmethod
    def from_fields(cls, value: Value) -> Tool:
        """Raises BadSchema."""
        read = FieldReader("tool", value)
        tool = cls(
            read_tool_name(read, "name"),
            read.text("description", most=MAX_DESCRIPTION),
            read.text("parameters", most=MAX_PARAMETERS),
            read.boolean("strict"),
        )
        read.done()
        if not isinstance(read_canonical_json(tool.parameters), dict):
            raise BadSchema("The parameters of a tool are not an object.", cause=tool.name)
        return tool


def read_tool_name(read: FieldReader, field: str) -> str:
    """Raises BadSchema."""
    name = read.text(field, most=MAX_TOOL_NAME)
    if not TOOL_NAME.fullmatch(name):
        raise BadSchema("A tool's name is not made of letters, digits, '_', '-' and '.'.")
    return name


def check_tool_choice(choice: str, tools: Sequence[Tool]) -> None:
    """``none``, ``auto``, ``required``, or ``function:`` and the name of one of ``tools``. Raises BadSchema.

    Without tools only ``none`` is meant, so that one request has one form.
    """
    names = [tool.name for tool in tools]
    if len(set(names)) != len(names):
        raise BadSchema("Two tools have one name.")
    if not tools:
        fine = choice == "none"
    else:
        fine = choice in ("none", "auto", "required") or (
            choice.startswith(NAMED) and choice.removeprefix(NAMED) in names
        )
    if not fine:
        raise BadSchema("tool_choice is not one of the tools, nor none, auto or required.", cause=choice[:64])


def named_tool(choice: str) -> str:
    """The name of the one tool that must be called; empty when no single one must."""
    return choice.removeprefix(NAMED) if choice.startswith(NAMED) else ""
