"""The form that an answer must have: free text, JSON, JSON of a schema, or text of a regular expression or grammar."""

from __future__ import annotations

from dataclasses import dataclass

from peernode.chat.canonical_json import read_canonical_json
from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader

KINDS = ("text", "json_object", "json_schema", "regex", "lark")
MAX_SOURCE = 1 << 18
_WITHOUT_SOURCE = ("text", "json_object")


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """``source`` is the schema as canonical JSON text, the expression or the grammar; else empty."""

    kind: str = "text"
    source: str = ""

    def to_fields(self) -> list[Value]:
        return [self.kind, self.source]

    @classmethod
    def from_fields(cls, value: Value) -> OutputFormat:
        """Raises BadSchema."""
        read = FieldReader("output format", value)
        made = cls(read.text("kind", most=32), read.text("source", most=MAX_SOURCE))
        read.done()
        if made.kind not in KINDS:
            raise BadSchema("An output format is of an unknown kind.", cause=made.kind)
        if bool(made.source) == (made.kind in _WITHOUT_SOURCE):
            raise BadSchema("An output format has no source, or one that it does not need.", cause=made.kind)
        if made.kind == "json_schema" and not isinstance(read_canonical_json(made.source), (dict, bool)):
            raise BadSchema("A JSON schema is neither an object nor a truth value.")
        return made


FREE_TEXT = OutputFormat()
