"""``output``: pieces of an answer gathered into items, each step told as the events that the API has for it. Pure.

An item is a message, what the model thought, or one call of a function; they follow one another, never nested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from peernode.chat.markup import CallArguments, CallStarted, Content, Piece, Reasoning
from peernode.edge.openai.logprobs import logprobs_block
from peernode.wire.logprobs import Logprobs

# An event's type and what it says.
Event: TypeAlias = tuple[str, dict[str, Any]]
COMPLETED, INCOMPLETE, IN_PROGRESS = "completed", "incomplete", "in_progress"
_MESSAGE, _THOUGHT, _CALL = "message", "reasoning", "function_call"
_PREFIX = {_MESSAGE: "msg", _THOUGHT: "rs", _CALL: "fc"}
# The name of an item's text in events, and the type of the part that holds it.
_PART = {_MESSAGE: "output_text", _THOUGHT: "reasoning_text"}


@dataclass(slots=True)
class _Item:
    """One item; ``facts`` are what it is besides its text."""

    kind: str
    id: str
    facts: dict[str, Any] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    status: str = IN_PROGRESS

    def part(self) -> dict[str, Any]:
        made: dict[str, Any] = {"type": _PART[self.kind], "text": "".join(self.texts)}
        return made if self.kind == _THOUGHT else {**made, "annotations": [], "logprobs": list(self.logprobs)}

    def as_json(self, *, begun: bool = True) -> dict[str, Any]:
        made = {"id": self.id, "type": self.kind, "status": self.status, **self.facts}
        if self.kind == _CALL:
            return {**made, "arguments": "".join(self.texts)}
        return {**made, "content": [self.part()] if begun else []}


class OutputItems:
    """Feed it pieces, then ``close``; ``items`` is what there is so far."""

    def __init__(self, ulid: str) -> None:
        self._ulid = ulid
        self._items: list[_Item] = []
        self._early: list[dict[str, Any]] = []

    def items(self) -> list[dict[str, Any]]:
        return [item.as_json() for item in self._items]

    def take(self, pieces: Sequence[Piece], logprobs: Sequence[Logprobs]) -> Iterator[Event]:
        if logprobs:
            self._early += logprobs_block(logprobs)["content"]
        for piece in pieces:
            match piece:
                case Content(text):
                    yield from self._say(_MESSAGE, {"role": "assistant"}, text)
                case Reasoning(text):
                    yield from self._say(_THOUGHT, {"summary": []}, text)
                case CallStarted(_, identity, name):
                    yield from self._open(_CALL, {"call_id": identity, "name": name})
                case CallArguments(_, text):
                    yield self._delta("response.function_call_arguments.delta", text)

    def close(self, status: str) -> Iterator[Event]:
        """The last item ends; an answer without any has one empty message."""
        if not self._items:
            yield from self._open(_MESSAGE, {"role": "assistant"})
        yield from self._end(status)

    def _say(self, kind: str, facts: dict[str, Any], text: str) -> Iterator[Event]:
        if not self._items or self._items[-1].kind != kind:
            yield from self._open(kind, facts)
        if kind == _MESSAGE:
            fresh, self._early = self._early, []
            self._items[-1].logprobs += fresh
            yield self._delta("response.output_text.delta", text, content_index=0, logprobs=fresh)
        else:
            yield self._delta("response.reasoning_text.delta", text, content_index=0)

    def _open(self, kind: str, facts: dict[str, Any]) -> Iterator[Event]:
        yield from self._end(COMPLETED)
        self._items.append(_Item(kind, f"{_PREFIX[kind]}_{self._ulid}_{len(self._items)}", facts))
        item = self._items[-1]
        yield "response.output_item.added", {"output_index": self._index, "item": item.as_json(begun=False)}
        if kind in _PART:
            yield "response.content_part.added", self._about(content_index=0, part=item.part())

    def _end(self, status: str) -> Iterator[Event]:
        if not self._items or self._items[-1].status != IN_PROGRESS:
            return
        item = self._items[-1]
        item.status = status
        text = "".join(item.texts)
        if item.kind == _CALL:
            name = item.facts["name"]
            yield "response.function_call_arguments.done", self._about(name=name, arguments=text)
        else:
            more = {"logprobs": list(item.logprobs)} if item.kind == _MESSAGE else {}
            yield f"response.{_PART[item.kind]}.done", self._about(content_index=0, text=text, **more)
            yield "response.content_part.done", self._about(content_index=0, part=item.part())
        yield "response.output_item.done", {"output_index": self._index, "item": item.as_json()}

    def _delta(self, name: str, text: str, **more: object) -> Event:
        self._items[-1].texts.append(text)
        return name, self._about(delta=text, **more)

    def _about(self, **more: object) -> dict[str, Any]:
        return {"item_id": self._items[-1].id, "output_index": self._index, **more}

    @property
    def _index(self) -> int:
        return len(self._items) - 1
