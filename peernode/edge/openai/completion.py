"""What all forms of an OpenAI answer share: its ids, its usage block, and the writer of the answer in one piece."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from peernode.chat.events import Finished, Started, Tokens, Usage
from peernode.edge.openai.logprobs import logprobs_block
from peernode.edge.services import REQUEST_PREFIX
from peernode.edge.settlement import Settlement, as_credits
from peernode.errors import PeernodeError
from peernode.wire.logprobs import Logprobs

MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What every object of one answer repeats. ``model`` is the name the client asked for."""

    request_id: str
    created: int
    model: str

    @property
    def id(self) -> str:
        """``chatcmpl-`` and the ULID of the request id, so that one lookup serves both."""
        return f"chatcmpl-{self.request_id.removeprefix(REQUEST_PREFIX)}"


def usage_block(usage: Usage, settlement: Settlement) -> dict[str, Any]:
    """OpenAI's usage, and what it cost in credits."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "cost": settlement.credits / MICRO,
    }


class CompletionWriter:
    """The answer as one JSON object. Holds everything back until the bill is settled, so a failure has its status."""

    def __init__(self, head: AnswerHead, *, logprobs: bool = False) -> None:
        self._head = head
        self._wants_logprobs = logprobs
        self._logprobs: list[Logprobs] = []
        self._model = head.model
        self._text: list[str] = []
        self._end = Finished("stop", Usage(0, 0))
        self._settlement = Settlement({})
        self._length = 0

    def headers(self) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(self._length).encode()),
            (b"cache-control", b"no-store"),
            (b"credits", as_credits(self._settlement.credits).encode()),
        ]
        if self._settlement.digest:
            headers.append((b"x-peernode-receipt", self._settlement.digest.encode()))
        return headers

    def started(self, event: Started) -> None:
        self._model = event.model_id or self._head.model

    def tokens(self, event: Tokens) -> bytes:
        self._text.append(event.text)
        self._logprobs.extend(event.logprobs)
        return b""

    def finished(self, event: Finished) -> bytes:
        self._end = event
        return b""

    def settled(self, settlement: Settlement) -> bytes:
        self._settlement = settlement
        message = {"role": "assistant", "content": "".join(self._text), "refusal": None}
        body = json.dumps(
            {
                "id": self._head.id,
                "object": "chat.completion",
                "created": self._head.created,
                "model": self._model,
                "request_id": self._head.request_id,
                "provider": settlement.provider,
                "choices": [
                    {
                        "index": 0,
                        "message": message,
                        "logprobs": logprobs_block(self._logprobs) if self._wants_logprobs else None,
                        "finish_reason": self._end.reason,
                        "native_finish_reason": self._end.reason,
                    }
                ],
                "usage": usage_block(self._end.usage, settlement),
                "receipt": settlement.receipt,
            }
        ).encode()
        self._length = len(body)
        return body

    def failed(self, error: PeernodeError) -> bytes:
        raise AssertionError("an answer in one piece fails before its first byte") from error
