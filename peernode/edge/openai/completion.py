"""What all forms of an answer share: its ids, its usage block, and the writer of the answer in one piece.

Dialects differ in how the piece looks: each has a function that makes it of what was said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from peernode.chat.events import Finished, Started, Tokens, Waiting
from peernode.chat.markup import Piece
from peernode.chat.request import ChatRequest
from peernode.edge.answers import error_object
from peernode.edge.openai.choice import Choice, message_of
from peernode.edge.openai.logprobs import logprobs_block
from peernode.edge.services import REQUEST_PREFIX
from peernode.edge.settlement import Settlement, as_credits
from peernode.errors import PeernodeError
from peernode.wire.logprobs import Logprobs

MICRO = 1_000_000
CHAT_PREFIX = "chatcmpl-"


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What every object of one answer repeats. ``model`` is the name the client asked for.

    ``request_ids`` and ``requests`` have one entry for each choice; the first id is that of the whole answer.
    ``prefix`` is the dialect's own for ids, ``session`` the kept conversation that the answer belongs to.
    """

    request_ids: tuple[str, ...]
    created: int
    model: str
    requests: tuple[ChatRequest, ...]
    prefix: str = CHAT_PREFIX
    session: str = ""

    @property
    def request_id(self) -> str:
        return self.request_ids[0]

    @property
    def id(self) -> str:
        return self.named(self.prefix)

    def named(self, prefix: str) -> str:
        """A dialect's ``prefix`` and the ULID of the request id, so that one lookup serves all."""
        return f"{prefix}{self.request_id.removeprefix(REQUEST_PREFIX)}"

    def choices(self) -> list[Choice]:
        both = zip(self.request_ids, self.requests, strict=True)
        return [Choice(index, request_id, request) for index, (request_id, request) in enumerate(both)]


@dataclass(slots=True)
class Said:
    """One choice with all that came of it."""

    choice: Choice
    pieces: list[Piece] = field(default_factory=list)
    logprobs: list[Logprobs] = field(default_factory=list)


# The one object that an answer is, of everything that was said.
Render: TypeAlias = Callable[[AnswerHead, Sequence[Said]], dict[str, Any]]


def usage_block(choices: Sequence[Choice]) -> dict[str, Any]:
    """OpenAI's usage, and what it cost in credits. A prompt that several choices share is counted once."""
    settled = [choice for choice in choices if choice.settlement is not None]
    # By identity: to compare long conversations would cost more than to count them twice.
    prompts = {id(choice.request): choice.end.usage for choice in reversed(settled)}.values()
    prompt = sum(usage.prompt_tokens for usage in prompts)
    completion = sum(choice.end.usage.completion_tokens for choice in settled)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(usage.cached_tokens for usage in prompts)},
        "cost": credits_of(settled) / MICRO,
    }


def bill_of(choices: Sequence[Choice]) -> dict[str, Any]:
    """Who served, and the receipt, as far as one choice can tell: the first one's."""
    settlement = next((choice.settlement for choice in choices if choice.settlement is not None), Settlement({}))
    return {"provider": settlement.provider, "receipt": settlement.receipt}


def credits_of(choices: Sequence[Choice]) -> int:
    """Micro-credits of all choices together."""
    return sum(choice.settlement.credits for choice in choices if choice.settlement is not None)


def model_of(head: AnswerHead, choices: Sequence[Choice]) -> str:
    """The model that answered, or the one asked for if none did."""
    return next((one.model for one in choices if one.model), head.model)


class WholeWriter:
    """The answer as one JSON object. Holds everything back until the bill is settled, so a failure has its status."""

    def __init__(self, head: AnswerHead, render: Render) -> None:
        self._head = head
        self._render = render
        self._said = [Said(choice) for choice in head.choices()]
        self._length = 0

    def headers(self) -> list[tuple[bytes, bytes]]:
        choices = [said.choice for said in self._said]
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(self._length).encode()),
            (b"cache-control", b"no-store"),
            (b"credits", as_credits(credits_of(choices)).encode()),
            (b"x-generation-id", self._head.named("gen-").encode()),
        ]
        first = choices[0].settlement
        if first is not None and first.digest:
            headers.append((b"x-peernode-receipt", first.digest.encode()))
        return headers

    def started(self, choice: int, event: Started) -> None:
        self._said[choice].choice.started(event)

    def waiting(self, choice: int, event: Waiting) -> bytes:
        return b""

    def idle(self) -> bytes:
        return b""

    def tokens(self, choice: int, event: Tokens) -> bytes:
        said = self._said[choice]
        said.pieces.extend(said.choice.read(event.text))
        said.logprobs.extend(event.logprobs)
        return b""

    def finished(self, choice: int, event: Finished) -> bytes:
        said = self._said[choice]
        said.choice.end = event
        said.pieces.extend(said.choice.rest())
        return b""

    def settled(self, choice: int, settlement: Settlement) -> bytes:
        self._said[choice].choice.settlement = settlement
        return b""

    def failed(self, choice: int, error: PeernodeError) -> bytes:
        said = self._said[choice]
        said.choice.error = error
        said.pieces.extend(said.choice.rest())
        return b""

    def trailers(self) -> list[tuple[bytes, bytes]]:
        return []

    def ended(self) -> bytes:
        body = json.dumps(self._render(self._head, self._said)).encode()
        self._length = len(body)
        return body


def chat_completion(head: AnswerHead, said: Sequence[Said]) -> dict[str, Any]:
    """OpenAI's ``chat.completion``."""
    choices = [each.choice for each in said]
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": model_of(head, choices),
        "request_id": head.request_id,
        **({"session_id": head.session} if head.session else {}),
        **bill_of(choices),
        "choices": [_chat_choice(each, several=len(said) > 1) for each in said],
        "usage": usage_block(choices),
    }


def _chat_choice(said: Said, *, several: bool) -> dict[str, Any]:
    wants_logprobs = said.choice.request.top_logprobs is not None
    return {
        "index": said.choice.index,
        "message": message_of(said.pieces),
        "logprobs": logprobs_block(said.logprobs) if wants_logprobs else None,
        **ending_of(said.choice, several=several),
    }


def ending_of(one: Choice, *, several: bool) -> dict[str, Any]:
    """What every dialect that has choices says of the end of one."""
    made: dict[str, Any] = {
        "finish_reason": one.reason,
        "native_finish_reason": one.end.reason,
        "request_id": one.request_id,
    }
    if one.error is not None:
        made["error"] = error_object(one.error)
    elif several:
        made.update(bill_of([one]))
    return made
