"""What raw text turns out to be: words for the reader, thoughts, and calls of tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Content:
    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    text: str


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call of the tool ``name``; ``index`` counts the calls of one answer from 0."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """More of a call's arguments, as the model writes them."""

    index: int
    text: str


Piece: TypeAlias = Content | Reasoning | CallStarted | CallArguments
