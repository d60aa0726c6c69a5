"""What all forms of an OpenAI answer share: its ids, its usage block, and the writer of the answer in one piece."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peernode.chat.events import Finished, Started, Tokens
from peernode.chat.markup import Content, Piece
from peernode.chat.request import ChatRequest
from peernode.edge.answers import error_object
from peernode.edge.openai.choice import Choice, message_of
from peernode.edge.openai.logprobs import logprobs_block
from peernode.edge.services import REQUEST_PREFIX
from peernode.edge.settlement import Settlement, as_credits
from peernode.errors import PeernodeError
from peernode.wire.logprobs import Logprobs

MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What every object of one answer repeats. ``model`` is the name the client asked for.

    ``request_ids`` has one entry for each choice; the first is that of the whole answer.
    """

    request_ids: tuple[str, ...]
    created: int
    model: str

    @property
    def request_id(self) -> str:
        return self.request_ids[0]

    @property
    def id(self) -> str:
        """``chatcmpl-`` and the ULID of the request id, so that one lookup serves both."""
        return f"chatcmpl-{self.request_id.removeprefix(REQUEST_PREFIX)}"

    def choices(self, request: ChatRequest) -> list[Choice]:
        return [Choice(index, request_id, request) for index, request_id in enumerate(self.request_ids)]


def usage_block(choices: Sequence[Choice]) -> dict[str, Any]:
    """OpenAI's usage, and what it cost in credits. The choices share one prompt, which is counted once."""
    settled = [choice for choice in choices if choice.settlement is not None]
    first = settled[0].end.usage
    completion = sum(choice.end.usage.completion_tokens for choice in settled)
    return {
        "prompt_tokens": first.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": first.prompt_tokens + completion,
        "prompt_tokens_details": {"cached_tokens": first.cached_tokens},
        "cost": credits_of(settled) / MICRO,
    }


def bill_of(choices: Sequence[Choice]) -> dict[str, Any]:
    """Who served, and the receipt, as far as one choice can tell: the first one's."""
    settlement = next((choice.settlement for choice in choices if choice.settlement is not None), Settlement({}))
    return {"provider": settlement.provider, "receipt": settlement.receipt}


def credits_of(choices: Sequence[Choice]) -> int:
    """Micro-credits of all choices together."""
    return sum(choice.settlement.credits for choice in choices if choice.settlement is not None)


class CompletionWriter:
    """The answer as one JSON object. Holds everything back until the bill is settled, so a failure has its status."""

    def __init__(self, head: AnswerHead, request: ChatRequest) -> None:
        self._head = head
        self._wants_logprobs = request.top_logprobs is not None
        self._choices = head.choices(request)
        self._pieces: list[list[Piece]] = [[] for _ in self._choices]
        self._logprobs: list[list[Logprobs]] = [[] for _ in self._choices]
        self._length = 0

    def headers(self) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(self._length).encode()),
            (b"cache-control", b"no-store"),
            (b"credits", as_credits(credits_of(self._choices)).encode()),
        ]
        first = self._choices[0].settlement
        if first is not None and first.digest:
            headers.append((b"x-peernode-receipt", first.digest.encode()))
        return headers

    def started(self, choice: int, event: Started) -> None:
        self._choices[choice].started(event)

    def tokens(self, choice: int, event: Tokens) -> bytes:
        one = self._choices[choice]
        self._pieces[choice].extend([Content(event.text)] if one.plain else one.read(event.text))
        self._logprobs[choice].extend(event.logprobs)
        return b""

    def finished(self, choice: int, event: Finished) -> bytes:
        one = self._choices[choice]
        one.end = event
        self._pieces[choice].extend(one.rest())
        return b""

    def settled(self, choice: int, settlement: Settlement) -> bytes:
        self._choices[choice].settlement = settlement
        return b""

    def failed(self, choice: int, error: PeernodeError) -> bytes:
        one = self._choices[choice]
        one.error = error
        self._pieces[choice].extend(one.rest())
        return b""

    def ended(self) -> bytes:
        body = json.dumps(
            {
                "id": self._head.id,
                "object": "chat.completion",
                "created": self._head.created,
                "model": next((one.model for one in self._choices if one.model), self._head.model),
                "request_id": self._head.request_id,
                **bill_of(self._choices),
                "choices": [self._choice(one) for one in self._choices],
                "usage": usage_block(self._choices),
            }
        ).encode()
        self._length = len(body)
        return body

    def _choice(self, one: Choice) -> dict[str, Any]:
        made: dict[str, Any] = {
            "index": one.index,
            "message": message_of(self._pieces[one.index]),
            "logprobs": logprobs_block(self._logprobs[one.index]) if self._wants_logprobs else None,
            "finish_reason": one.reason,
            "native_finish_reason": one.end.reason,
            "request_id": one.request_id,
        }
        if one.error is not None:
            made["error"] = error_object(one.error)
        elif len(self._choices) > 1:
            made.update(bill_of([one]))
        return made
