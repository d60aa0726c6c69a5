"""What all streamed answers share, whatever their framing: events read into pieces, and each choice brought to its end.

A dialect says how pieces, the end of a choice and the end of all look as bytes.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from peernode.chat.events import Finished, Started, Tokens, Waiting
from peernode.chat.markup import Piece
from peernode.edge.openai.choice import Choice
from peernode.edge.openai.completion import AnswerHead, credits_of
from peernode.edge.settlement import Settlement, as_credits
from peernode.errors import PeernodeError
from peernode.wire.logprobs import Logprobs

EVENT_STREAM = b"text/event-stream; charset=utf-8"


class PieceStream(ABC):
    """An AnswerWriter whose bytes leave as the pieces come."""

    content_type = EVENT_STREAM

    def __init__(self, head: AnswerHead) -> None:
        self._head = head
        self._choices = head.choices()

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"content-type", self.content_type),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            (b"x-generation-id", self._head.named("gen-").encode()),
        ]

    def started(self, choice: int, event: Started) -> None:
        self._choices[choice].started(event)

    def waiting(self, choice: int, event: Waiting) -> bytes:
        """A comment, which clients of event streams pass over; other framings have none."""
        if self.content_type != EVENT_STREAM:
            return b""
        name = json.dumps(self._head.model)  # on one line, and ASCII
        return f": {event.reason} {name}, about {max(math.ceil(event.eta_s), 1)} s\n\n".encode("ascii")

    def idle(self) -> bytes:
        """So that nobody on the way takes a long prompt for a dead connection."""
        return b": keep-alive\n\n" if self.content_type == EVENT_STREAM else b""

    def trailers(self) -> list[tuple[bytes, bytes]]:
        """What answers in one piece have as a header."""
        return [(b"credits", as_credits(credits_of(self._choices)).encode())]

    def tokens(self, choice: int, event: Tokens) -> bytes:
        one = self._choices[choice]
        return self._say(one, one.read(event.text), event.logprobs)

    def finished(self, choice: int, event: Finished) -> bytes:
        one = self._choices[choice]
        one.end = event
        return self._say(one, one.rest(), ())

    def settled(self, choice: int, settlement: Settlement) -> bytes:
        one = self._choices[choice]
        one.settlement = settlement
        return self._close(one)

    def failed(self, choice: int, error: PeernodeError) -> bytes:
        one = self._choices[choice]
        one.error = error
        held = one.rest()
        return (self._say(one, held, ()) if held else b"") + self._break(one, error)

    @abstractmethod
    def ended(self) -> bytes: ...

    @abstractmethod
    def _say(self, one: Choice, pieces: Sequence[Piece], logprobs: Sequence[Logprobs]) -> bytes:
        """What is new of ``one``; there may be log-probabilities without pieces, or nothing at all."""

    @abstractmethod
    def _close(self, one: Choice) -> bytes:
        """``one`` is complete, and its bill settled."""

    @abstractmethod
    def _break(self, one: Choice, error: PeernodeError) -> bytes:
        """``one`` failed, in the middle or before it had begun."""
