"""How a call begins: its tool's name, and where its arguments are. Reads JSON that may not have come whole yet.

Every function decides only what the text so far settles, so that it does not matter in which pieces the text comes:
``Undecided`` is raised where more of it could tell, ``NoCall`` where nothing can make it a call any more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass

from peernode.chat.tools import MAX_TOOL_NAME, TOOL_NAME

SPACE = " \t\r\n"
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SCALAR = re.compile(r"[^\s,\[\]{}\"]+(?=[\s,\]}])")
_ARGUMENTS = ("arguments", "parameters")
_BESIDE = ("type", "id")


class Undecided(Exception):
    """More text is needed to tell."""


class NoCall(Exception):
    """This is not a call."""


@dataclass(frozen=True, slots=True)
class Opening:
    """``end`` is behind what was read. ``arguments`` is None where they begin there and are still to come."""

    name: str
    arguments: str | None
    end: int


class Cursor:
    """A place in a text. Its methods move on, or raise Undecided or NoCall."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at

    def peek(self) -> str:
        """The next character that is no space."""
        while self.at < len(self.text):
            if self.text[self.at] not in SPACE:
                return self.text[self.at]
            self.at += 1
        raise Undecided

    def take(self, mark: str) -> None:
        self.peek()
        if not self.text.startswith(mark, self.at):
            raise Undecided if mark.startswith(self.text[self.at :]) else NoCall
        self.at += len(mark)

    def string(self) -> str:
        if self.peek() != '"':
            raise NoCall
        found = _STRING.match(self.text, self.at)
        if found is None:
            raise Undecided
        self.at = found.end()
        try:
            return str(json.loads(found[0], strict=False))
        except ValueError:
            raise NoCall from None

    def value(self) -> str:
        """The text of a whole JSON value, not looked into."""
        first = self.peek()
        begin = self.at
        if first == '"':
            self.string()
        elif first in "{[":
            end = Balance().end_in(self.text[begin:])
            if end is None:
                raise Undecided
            self.at += end
        else:
            found = _SCALAR.match(self.text, begin)
            if found is None:
                raise NoCall if first in ",]}:" else Undecided
            self.at = found.end()
        return self.text[begin : self.at]


class Balance:
    """Finds the end of a JSON object or array that comes in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = self._escaped = False

    def end_in(self, text: str) -> int | None:
        """How much of ``text`` belongs to it, or None while it goes on."""
        for at, character in enumerate(text):
            if self._quoted:
                if self._escaped:
                    self._escaped = False
                elif character == "\\":
                    self._escaped = True
                elif character == '"':
                    self._quoted = False
            elif character == '"':
                self._quoted = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    return at + 1
        return None


def read_object(text: str, at: int, known: Collection[str] | None = None) -> Opening:
    """``{"name": …, "arguments": …}``, in whichever order; with ``known`` only those names are called."""
    cursor = Cursor(text, at)
    cursor.take("{")
    name = arguments = None
    first = True
    while cursor.peek() != "}":
        if not first:
            cursor.take(",")
        first = False
        key = cursor.string()
        cursor.take(":")
        if key == "name":
            name = checked_name(cursor.string(), known)
        elif key in _ARGUMENTS:
            if name is not None and cursor.peek() == "{":
                return Opening(name, None, cursor.at)
            arguments = _as_object(cursor.value())
        elif key in _BESIDE:
            cursor.value()
        else:
            raise NoCall
    if name is None:
        raise NoCall
    return Opening(name, arguments or "{}", cursor.at)


def read_rest(text: str, at: int) -> int:
    """The place behind a call's object, from where its arguments end."""
    cursor = Cursor(text, at)
    while cursor.peek() != "}":
        cursor.take(",")
        cursor.string()
        cursor.take(":")
        cursor.value()
    return cursor.at + 1


def checked_name(name: str, known: Collection[str] | None = None) -> str:
    """Raises NoCall for what cannot be a tool's name."""
    if len(name) > MAX_TOOL_NAME or not TOOL_NAME.fullmatch(name) or (known is not None and name not in known):
        raise NoCall
    return name


def _as_object(raw: str) -> str:
    """Arguments as text: some models write the JSON of an object into a string, or null for none."""
    if raw.startswith('"'):
        return str(json.loads(raw, strict=False))
    return "{}" if raw == "null" else raw
