"""The answer as lines of JSON, each written whole: some clients split every read at its line ends and keep no rest.

Calls of tools come as one line each answer, when their arguments are complete. The last line has the credits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from peernode.chat.events import Finished
from peernode.chat.markup import CallArguments, CallStarted, Content, Piece
from peernode.edge.answers import error_object
from peernode.edge.openai.choice import Choice
from peernode.edge.openai.completion import MICRO, AnswerHead, bill_of, credits_of, model_of
from peernode.edge.openai.piece_stream import PieceStream
from peernode.edge.peerwave.reply import message
from peernode.errors import PeernodeError
from peernode.wire.logprobs import Logprobs


class LineWriter(PieceStream):
    """Writes the one choice that Peerwave's answers have."""

    content_type = b"application/x-ndjson"

    def __init__(self, head: AnswerHead) -> None:
        super().__init__(head)
        self._calls: list[Piece] = []

    def finished(self, choice: int, event: Finished) -> bytes:
        rest = super().finished(choice, event)
        return rest + self._line({"message": message(self._calls)}) if self._calls else rest

    def ended(self) -> bytes:
        one = self._choices[0]
        if one.error is not None:
            return b""  # the line of the error was the last
        end = {
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "finish_reason": one.reason,
            "Credits": credits_of(self._choices) / MICRO,
            "request_id": self._head.request_id,
            **bill_of(self._choices),
        }
        return self._line(end)

    def _say(self, one: Choice, pieces: Sequence[Piece], logprobs: Sequence[Logprobs]) -> bytes:
        self._calls += [piece for piece in pieces if isinstance(piece, (CallStarted, CallArguments))]
        said = [piece for piece in pieces if not isinstance(piece, (CallStarted, CallArguments))]
        if not said:
            return b""
        if all(isinstance(piece, Content) for piece in said):
            content = "".join(piece.text for piece in said)
            return self._line({"message": {"role": "assistant", "content": content}})
        return self._line({"message": message(said)})

    def _close(self, one: Choice) -> bytes:
        return b""

    def _break(self, one: Choice, error: PeernodeError) -> bytes:
        return self._line({"error": error_object(error), "Credits": credits_of(self._choices) / MICRO})

    def _line(self, value: dict[str, Any]) -> bytes:
        return json.dumps({"model": model_of(self._head, self._choices), **value}).encode("ascii") + b"\n"
