"""One choice of an answer: its raw text read into words, thoughts and calls, and how it ended."""

from __future__ import annotations

from typing import Any

from peernode.chat.events import Finished, Started, Usage
from peernode.chat.markup import (
    CallArguments,
    CallStarted,
    Content,
    MarkupParser,
    Notation,
    Piece,
    Reasoning,
    call_id,
)
from peernode.chat.request import ChatRequest
from peernode.edge.settlement import Settlement
from peernode.errors import PeernodeError


class Choice:
    """``plain`` text holds nothing but words, and need not be read. ``error`` is set when the choice failed."""

    def __init__(self, index: int, request_id: str, request: ChatRequest) -> None:
        self.index = index
        self.request_id = request_id
        self.model = ""
        self.end = Finished("stop", Usage(0, 0))
        self.settlement: Settlement | None = None
        self.error: PeernodeError | None = None
        self.request = request
        self._parser = self._parser_of(Notation())
        self.plain = True

    def started(self, event: Started) -> None:
        notation = Notation.read(event.markup)
        self.model = event.model_id
        self.plain = not (self.request.calls_tools or notation.thinks)
        self._parser = self._parser_of(notation)

    def read(self, text: str) -> list[Piece]:
        """What is certain now; call with more text, then ``rest``."""
        if self.plain:
            return [Content(text)] if text else []
        return self._parser.push(text)

    def rest(self) -> list[Piece]:
        return self._parser.finish()

    @property
    def reason(self) -> str:
        """OpenAI's word for how it ended: tool_calls when the model stopped to have tools called."""
        if self.error is not None:
            return "error"
        return "tool_calls" if self._parser.calls and self.end.reason == "stop" else self.end.reason

    def _parser_of(self, notation: Notation) -> MarkupParser:
        request = self.request
        return MarkupParser(
            notation,
            tools=[tool.name for tool in request.tools] if request.calls_tools else (),
            call_id=lambda index: call_id(self.request_id, index),
            most_calls=None if request.parallel_tool_calls else 1,
        )


def delta_of(piece: Piece) -> dict[str, Any]:
    """A piece as OpenAI streams it."""
    match piece:
        case Content(text):
            return {"content": text}
        case Reasoning(text):
            return {"reasoning_content": text}
        case CallStarted(index, identity, name):
            function = {"name": name, "arguments": ""}
            return {"tool_calls": [{"index": index, "id": identity, "type": "function", "function": function}]}
        case CallArguments(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def message_of(pieces: list[Piece]) -> dict[str, Any]:
    """All pieces as OpenAI's message; content is null when there are calls and no words."""
    words: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for piece in pieces:
        match piece:
            case Content(text):
                words.append(text)
            case Reasoning(text):
                thoughts.append(text)
            case CallStarted(_, identity, name):
                calls.append({"id": identity, "type": "function", "function": {"name": name, "arguments": ""}})
            case CallArguments(index, text):
                calls[index]["function"]["arguments"] += text
    message: dict[str, Any] = {"role": "assistant", "content": "".join(words), "refusal": None}
    if calls:
        message["content"] = message["content"] or None
        message["tool_calls"] = calls
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    return message
