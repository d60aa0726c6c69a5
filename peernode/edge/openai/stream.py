"""The answer as server-sent events: role, contents, and only after the receipt the end, the usage and ``[DONE]``.

JSON is written around the text by hand, for a chunk costs as much as its text then. It stays pure ASCII, because
line readers that split at every Unicode line break exist, and a raw U+2028 inside a chunk would break them.
Log-probabilities leave with their tokens, although the text may still be held back: such a chunk's content is empty.
"""

from __future__ import annotations

import json
from typing import Any

from peernode.chat.events import Finished, Started, Tokens, Usage
from peernode.edge.answers import error_object
from peernode.edge.openai.completion import AnswerHead, usage_block
from peernode.edge.openai.logprobs import logprobs_block
from peernode.edge.settlement import Settlement
from peernode.errors import PeernodeError

DONE = b"data: [DONE]\n\n"


class StreamWriter:
    """Writes ``chat.completion.chunk`` events that all carry the same id, created, model and request_id."""

    def __init__(self, head: AnswerHead, *, include_usage: bool) -> None:
        self._head = head
        self._include_usage = include_usage
        self._open = self._prefix(head.model)
        self._role_sent = False
        self._end = Finished("stop", Usage(0, 0))

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
        ]

    def started(self, event: Started) -> None:
        self._open = self._prefix(event.model_id or self._head.model)

    def tokens(self, event: Tokens) -> bytes:
        if not event.text and not event.logprobs:
            return self._role()
        content = f'{self._open},"choices":[{{"index":0,"delta":{{"content":{json.dumps(event.text)}}},'
        logprobs = json.dumps(logprobs_block(event.logprobs)) if event.logprobs else "null"
        return self._role() + f'{content}"logprobs":{logprobs},"finish_reason":null}}]}}\n\n'.encode("ascii")

    def finished(self, event: Finished) -> bytes:
        self._end = event
        return self._role()

    def settled(self, settlement: Settlement) -> bytes:
        about = {"provider": settlement.provider, "receipt": settlement.receipt}
        end = self._role() + self._chunk(self._choice({}, self._end.reason), **about)
        if self._include_usage:
            end += self._chunk([], usage=usage_block(self._end.usage, settlement), **about)
        return end + DONE

    def failed(self, error: PeernodeError) -> bytes:
        return self._chunk(self._choice({}, "error"), error=error_object(error)) + DONE

    def _role(self) -> bytes:
        if self._role_sent:
            return b""
        self._role_sent = True
        return self._chunk(self._choice({"role": "assistant", "content": ""}, None))

    def _choice(self, delta: dict[str, Any], reason: str | None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]

    def _chunk(self, choices: list[dict[str, Any]], **more: object) -> bytes:
        tail = json.dumps({"choices": choices, **more})
        return f"{self._without_null_usage(more)},{tail[1:]}\n\n".encode("ascii")

    def _without_null_usage(self, more: dict[str, Any]) -> str:
        return self._open.removesuffix(_NULL_USAGE) if "usage" in more else self._open

    def _prefix(self, model: str) -> str:
        head = json.dumps(
            {
                "id": self._head.id,
                "object": "chat.completion.chunk",
                "created": self._head.created,
                "model": model,
                "request_id": self._head.request_id,
            }
        )
        # With include_usage, OpenAI puts a null into every chunk but the last.
        return f"data: {head[:-1]}" + (_NULL_USAGE if self._include_usage else "")


_NULL_USAGE = ',"usage":null'
