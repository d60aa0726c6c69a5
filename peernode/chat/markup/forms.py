"""The notations of calls: how each opens, and what may stand behind the arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

from peernode.chat.markup.opening import Cursor, NoCall, Opening, Undecided, checked_name, read_object
from peernode.chat.tools import MAX_TOOL_NAME

Reader = Callable[[str, int, Collection[str]], Opening]
_NAME = re.compile(r"[A-Za-z0-9_.-]*")
_MAX_CALL_ID = 64


@dataclass(frozen=True, slots=True)
class Form:
    """``marker`` opens it and ``read`` goes on from there. ``wrapped`` calls are JSON objects with a name inside.

    ``closer`` may follow; ``first`` forms are recognised only where nothing was said before.
    """

    marker: str
    read: Reader
    wrapped: bool = True
    closer: str = ""
    first: bool = False


def _object(text: str, at: int, _known: Collection[str]) -> Opening:
    return read_object(text, at)


def _bare(text: str, at: int, known: Collection[str]) -> Opening:
    return read_object(text, at - 1, known)  # the marker is the object's own brace


def _mistral(text: str, at: int, _known: Collection[str]) -> Opening:
    """``[{…}, …]``."""
    cursor = Cursor(text, at)
    cursor.take("[")
    return read_object(text, cursor.at)


def _mistral_named(text: str, at: int, _known: Collection[str]) -> Opening:
    """``name[ARGS]{…}``, perhaps with ``[CALL_ID]…`` in between."""
    cursor = Cursor(text, at)
    cursor.peek()
    name = _name(cursor)
    if cursor.peek() == "[" and not "[ARGS]".startswith(text[cursor.at : cursor.at + 6]):
        cursor.take("[CALL_ID]")
        end = text.find("[", cursor.at)
        if end < 0 and len(text) - cursor.at <= _MAX_CALL_ID:
            raise Undecided
        if not 0 <= end - cursor.at <= _MAX_CALL_ID:
            raise NoCall
        cursor.at = end
    cursor.take("[ARGS]")
    return _arguments(cursor, name)


def _functionary(text: str, at: int, _known: Collection[str]) -> Opening:
    """``name>{…}``."""
    cursor = Cursor(text, at)
    name = _name(cursor)
    cursor.take(">")
    return _arguments(cursor, name)


def _name(cursor: Cursor) -> str:
    found = _NAME.match(cursor.text, cursor.at)
    assert found is not None  # it may be empty
    if len(found[0]) > MAX_TOOL_NAME:
        raise NoCall
    cursor.at = found.end()
    if cursor.at == len(cursor.text):
        raise Undecided
    return checked_name(found[0])


def _arguments(cursor: Cursor, name: str) -> Opening:
    if cursor.peek() != "{":
        raise NoCall
    return Opening(name, None, cursor.at)


MISTRAL = Form("[TOOL_CALLS]", _mistral)
MISTRAL_NAMED = Form("[TOOL_CALLS]", _mistral_named, wrapped=False)
BARE = Form("{", _bare, closer=";", first=True)
# What is marked is recognised whatever the model's own notation: nobody writes these by accident.
MARKED = (
    Form("<tool_call>", _object, closer="</tool_call>"),
    Form("<function=", _functionary, wrapped=False, closer="</function>"),
    Form("<|python_tag|>", _object, closer=";"),
    MISTRAL,
    MISTRAL_NAMED,
)
