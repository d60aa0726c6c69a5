"""Reading the fields of a canonical list, each checked for type and range before it is believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema

T = TypeVar("T")
_MISSING = object()
MAX_INT = (1 << 63) - 1
MAX_TOKEN_ID = (1 << 31) - 1


class FieldReader:
    """Walks one list in signing order; ``done`` refuses what is left over. Every method raises BadSchema."""

    def __init__(self, kind: str, value: Value) -> None:
        if not isinstance(value, list):
            raise BadSchema(f"A {kind} must be a list.", cause=type(value).__name__)
        self._kind = kind
        self._items = value
        self._next = 0

    def _take(self, name: str) -> Value:
        if self._next >= len(self._items):
            raise BadSchema(f"The {self._kind} ends before its field '{name}'.")
        item = self._items[self._next]
        self._next += 1
        return item

    def _bad(self, name: str, cause: str) -> BadSchema:
        return BadSchema(f"The field '{name}' of the {self._kind} is not acceptable.", cause=cause)

    def integer(self, name: str, *, least: int = 0, most: int = MAX_INT) -> int:
        item = self._take(name)
        if not isinstance(item, int) or isinstance(item, bool):
            raise self._bad(name, f"expected an integer, found {type(item).__name__}")
        if not least <= item <= most:
            raise self._bad(name, f"{item} is not within {least}…{most}")
        return item

    def boolean(self, name: str) -> bool:
        item = self._take(name)
        if not isinstance(item, bool):
            raise self._bad(name, f"expected a truth value, found {type(item).__name__}")
        return item

    def text(self, name: str, *, most: int = 256, least: int = 0) -> str:
        item = self._take(name)
        if not isinstance(item, str):
            raise self._bad(name, f"expected text, found {type(item).__name__}")
        if not least <= len(item) <= most:
            raise self._bad(name, f"{len(item)} characters, {least}…{most} are allowed")
        return item

    def octets(self, name: str, *, exactly: int | None = None, most: int = 1 << 16) -> bytes:
        item = self._take(name)
        if not isinstance(item, bytes):
            raise self._bad(name, f"expected bytes, found {type(item).__name__}")
        if exactly is not None and len(item) != exactly:
            raise self._bad(name, f"{len(item)} bytes, exactly {exactly} are needed")
        if len(item) > most:
            raise self._bad(name, f"{len(item)} bytes, at most {most} are allowed")
        return item

    def items(self, name: str, read: Callable[[Value], T], *, most: int) -> tuple[T, ...]:
        item = self._take(name)
        if not isinstance(item, list):
            raise self._bad(name, f"expected a list, found {type(item).__name__}")
        if len(item) > most:
            raise self._bad(name, f"{len(item)} entries, at most {most} are allowed")
        return tuple(read(entry) for entry in item)

    def nested(self, name: str) -> Value:
        """The field as it is, for a reader of its own."""
        return self._take(name)

    def done(self) -> None:
        if self._next != len(self._items):
            raise BadSchema(
                f"The {self._kind} has fields nobody asked for.",
                cause=f"{len(self._items)} fields, {self._next} are known",
            )


def as_text(value: Value) -> str:
    """A list entry that must be text of at most 1024 characters."""
    reader = FieldReader("list entry", [value])
    return reader.text("entry", most=1024)


def as_token_id(value: Value) -> int:
    """A list entry that must be a token id (0 … 2³¹−1)."""
    if type(value) is int and 0 <= value <= MAX_TOKEN_ID:  # a truth value is of a type of its own
        return value
    reader = FieldReader("token list", [value])
    return reader.integer("token id", most=MAX_TOKEN_ID)
