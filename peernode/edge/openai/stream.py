"""The answer as server-sent events: role, contents, and only after the receipt the end, the usage and ``[DONE]``.

JSON is written around the text by hand, for a chunk costs as much as its text then. It stays pure ASCII, because
line readers that split at every Unicode line break exist, and a raw U+2028 inside a chunk would break them.
Log-probabilities leave with their tokens, although the text may still be held back: such a chunk's content is empty.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from peernode.chat.events import Finished, Started, Tokens
from peernode.chat.markup import CallStarted, Piece
from peernode.edge.answers import error_object
from peernode.edge.openai.choice import Choice, delta_of
from peernode.edge.openai.completion import AnswerHead, bill_of, usage_block
from peernode.edge.openai.logprobs import logprobs_block
from peernode.edge.openai.piece_stream import PieceStream
from peernode.errors import PeernodeError
from peernode.wire.logprobs import Logprobs

DONE = b"data: [DONE]\n\n"


class StreamWriter(PieceStream):
    """Writes ``chat.completion.chunk`` events that all carry the same id, created and request_id.

    Several choices come interleaved, each chunk with the index of its own.
    """

    def __init__(self, head: AnswerHead, *, include_usage: bool) -> None:
        super().__init__(head)
        self._include_usage = include_usage
        self._open = [self._prefix(head.model)] * len(self._choices)
        self._introduced: set[int] = set()

    def started(self, choice: int, event: Started) -> None:
        super().started(choice, event)
        self._open[choice] = self._prefix(event.model_id or self._head.model)

    def tokens(self, choice: int, event: Tokens) -> bytes:
        one = self._choices[choice]
        if not one.plain:
            return self._say(one, one.read(event.text), event.logprobs)
        if not event.text and not event.logprobs:
            return self._role(one)
        content = f'{self._open[choice]},"choices":[{{"index":{choice},"delta":{{"content":{json.dumps(event.text)}}},'
        logprobs = json.dumps(logprobs_block(event.logprobs)) if event.logprobs else "null"
        return self._role(one) + f'{content}"logprobs":{logprobs},"finish_reason":null}}]}}\n\n'.encode("ascii")

    def finished(self, choice: int, event: Finished) -> bytes:
        return super().finished(choice, event) + self._role(self._choices[choice])

    def ended(self) -> bytes:
        if not self._include_usage or not any(one.settlement is not None for one in self._choices):
            return DONE
        head = self._open[0].removesuffix(_NULL_USAGE)
        about = {"choices": [], "usage": usage_block(self._choices), **bill_of(self._choices)}
        return f"{head},{json.dumps(about)[1:]}\n\n".encode("ascii") + DONE

    def _say(self, one: Choice, pieces: Sequence[Piece], logprobs: Sequence[Logprobs]) -> bytes:
        if not pieces:
            return self._role(one) + self._chunk(one, {"content": ""}, logprobs=logprobs) if logprobs else b""
        chunks = [self._role(one, content=None if isinstance(pieces[0], CallStarted) else "")]
        for piece in pieces:
            chunks.append(self._chunk(one, delta_of(piece), logprobs=logprobs))
            logprobs = ()
        return b"".join(chunks)

    def _close(self, one: Choice) -> bytes:
        return self._role(one) + self._chunk(one, {}, reason=one.reason, **bill_of([one]))

    def _break(self, one: Choice, error: PeernodeError) -> bytes:
        return self._chunk(one, {}, reason=one.reason, error=error_object(error))

    def _role(self, one: Choice, content: str | None = "") -> bytes:
        if one.index in self._introduced:
            return b""
        self._introduced.add(one.index)
        return self._chunk(one, {"role": "assistant", "content": content})

    def _chunk(
        self,
        one: Choice,
        delta: dict[str, Any],
        *,
        logprobs: Sequence[Logprobs] = (),
        reason: str | None = None,
        **more: object,
    ) -> bytes:
        choice: dict[str, Any] = {
            "index": one.index,
            "delta": delta,
            "logprobs": logprobs_block(logprobs) if logprobs else None,
            "finish_reason": reason,
        }
        if len(self._choices) > 1:
            choice["request_id"] = one.request_id
        tail = json.dumps({"choices": [choice], **more})
        return f"{self._open[one.index]},{tail[1:]}\n\n".encode("ascii")

    def _prefix(self, model: str) -> str:
        told = {
            "id": self._head.id,
            "object": "chat.completion.chunk",
            "created": self._head.created,
            "model": model,
            "request_id": self._head.request_id,
        }
        head = json.dumps({**told, "session_id": self._head.session} if self._head.session else told)
        # With include_usage, OpenAI puts a null into every chunk but the last.
        return f"data: {head[:-1]}" + (_NULL_USAGE if self._include_usage else "")


_NULL_USAGE = ',"usage":null'
