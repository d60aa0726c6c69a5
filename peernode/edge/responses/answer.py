"""A response whole, and as its events: each with its name, and a number that counts them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peernode.chat.markup import Piece
from peernode.edge.openai.choice import Choice
from peernode.edge.openai.completion import AnswerHead, Render, Said
from peernode.edge.openai.piece_stream import PieceStream
from peernode.edge.responses.output_items import IN_PROGRESS, INCOMPLETE, Event, OutputItems
from peernode.edge.responses.response_object import response_object, status_of
from peernode.errors import PeernodeError
from peernode.wire.logprobs import Logprobs


def whole_response(asked: Mapping[str, Any]) -> Render:
    """The response in one piece."""

    def render(head: AnswerHead, said: Sequence[Said]) -> dict[str, Any]:
        one, output = said[0].choice, OutputItems(head.named(""))
        status = status_of(one)
        for _ in (*output.take(said[0].pieces, said[0].logprobs), *output.close(status)):
            pass  # nobody listens to the events
        return response_object(head, asked, one, status, output.items())

    return render


class ResponseStream(PieceStream):
    """The events of the one answer that a response is. Nothing follows ``response.completed``: there is no [DONE]."""

    def __init__(self, head: AnswerHead, asked: Mapping[str, Any]) -> None:
        super().__init__(head)
        self._asked = asked
        self._output = OutputItems(head.named(""))
        self._number = 0

    def ended(self) -> bytes:
        return b""

    def _say(self, one: Choice, pieces: Sequence[Piece], logprobs: Sequence[Logprobs]) -> bytes:
        if not (pieces or logprobs):
            return b""
        return self._begin(one) + self._events(self._output.take(pieces, logprobs))

    def _close(self, one: Choice) -> bytes:
        status = status_of(one)
        done = self._begin(one) + self._events(self._output.close(status))
        return done + self._whole(f"response.{status}", one, status)

    def _break(self, one: Choice, error: PeernodeError) -> bytes:
        done = self._begin(one) + self._events(self._output.close(INCOMPLETE))
        return done + self._whole("response.failed", one, "failed")

    def _begin(self, one: Choice) -> bytes:
        if self._number:
            return b""
        names = ("response.created", "response.in_progress")
        return b"".join(self._whole(name, one, IN_PROGRESS) for name in names)

    def _whole(self, name: str, one: Choice, status: str) -> bytes:
        response = response_object(self._head, self._asked, one, status, self._output.items())
        return self._events([(name, {"response": response})])

    def _events(self, events: Iterable[Event]) -> bytes:
        written = []
        for name, about in events:
            data = json.dumps({"type": name, "sequence_number": self._number, **about})
            written.append(f"event: {name}\ndata: {data}\n\n")
            self._number += 1
        return "".join(written).encode("ascii")
