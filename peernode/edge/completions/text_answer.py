"""``text_completion`` objects: the answer whole, and as server-sent events."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from peernode.chat.markup import Content, Piece, Reasoning
from peernode.edge.answers import error_object
from peernode.edge.completions.text_call import TextCall
from peernode.edge.openai.choice import Choice
from peernode.edge.openai.completion import (
    AnswerHead,
    Render,
    Said,
    bill_of,
    ending_of,
    model_of,
    usage_block,
)
from peernode.edge.openai.piece_stream import PieceStream
from peernode.edge.openai.stream import DONE
from peernode.errors import PeernodeError
from peernode.wire.logprobs import Logprobs


def text_completion(call: TextCall) -> Render:
    """The whole answer; the text of each choice begins with its echo. Usage is that of all answers that were made."""

    def render(head: AnswerHead, said: Sequence[Said]) -> dict[str, Any]:
        choices, kept = [each.choice for each in said], _best(said, call)
        return {
            **_head(head),
            "model": model_of(head, choices),
            **bill_of([each.choice for each in kept]),
            "choices": [
                {
                    **_text(each.pieces, echo),
                    "index": index,
                    "logprobs": _logprobs(each.logprobs) if call.shows_logprobs else None,
                    **ending_of(each.choice, several=len(said) > 1),
                }
                for index, (each, echo) in enumerate(zip(kept, call.echoes, strict=True))
            ],
            "usage": usage_block(choices),
        }

    return render


def _best(said: Sequence[Said], call: TextCall) -> list[Said]:
    """Of the answers to each prompt those whose tokens were likeliest on average; all, in their order, if all are."""
    if call.kept == call.best_of:
        return list(said)
    groups = [said[at : at + call.best_of] for at in range(0, len(said), call.best_of)]
    return [each for group in groups for each in sorted(group, key=_likelihood, reverse=True)[: call.kept]]


def _likelihood(said: Said) -> float:
    """The mean of the log-probabilities; an answer that failed comes last."""
    if said.choice.error is not None or not said.logprobs:
        return -math.inf
    return math.fsum(entry.chosen.logprob for entry in said.logprobs) / len(said.logprobs)


class TextStream(PieceStream):
    """The same, as it comes."""

    def __init__(self, head: AnswerHead, echoes: Sequence[str], *, include_usage: bool) -> None:
        super().__init__(head)
        self._include_usage = include_usage
        self._echoes = list(echoes)
        self._offsets = [0] * len(self._choices)

    def ended(self) -> bytes:
        if not self._include_usage or not any(one.settlement is not None for one in self._choices):
            return DONE
        about = {"choices": [], "usage": usage_block(self._choices), **bill_of(self._choices)}
        return self._event(about) + DONE

    def _say(self, one: Choice, pieces: Sequence[Piece], logprobs: Sequence[Logprobs]) -> bytes:
        if not (pieces or logprobs):
            return b""
        block = _logprobs(logprobs, self._offsets[one.index]) if logprobs else None
        if block is not None:
            self._offsets[one.index] += sum(map(len, block["tokens"]))
        return self._chunk(one, pieces, logprobs=block)

    def _close(self, one: Choice) -> bytes:
        return self._chunk(one, (), finish_reason=one.reason, native_finish_reason=one.end.reason, **bill_of([one]))

    def _break(self, one: Choice, error: PeernodeError) -> bytes:
        return self._chunk(one, (), finish_reason=one.reason, error=error_object(error))

    def _chunk(self, one: Choice, pieces: Sequence[Piece], **more: object) -> bytes:
        """What is said of the whole answer stands beside its choices, as in the streams of chats."""
        echo, self._echoes[one.index] = self._echoes[one.index], ""
        choice: dict[str, Any] = {"index": one.index, **_text(pieces, echo), "logprobs": None, "finish_reason": None}
        about: dict[str, Any] = {name: more.pop(name) for name in ("error", "provider", "receipt") if name in more}
        if len(self._choices) > 1:
            choice["request_id"] = one.request_id
        return self._event({"choices": [{**choice, **more}], **about})

    def _event(self, value: dict[str, Any]) -> bytes:
        head = {**_head(self._head), "model": model_of(self._head, self._choices)}
        return f"data: {json.dumps({**head, **value})}\n\n".encode("ascii")


def _head(head: AnswerHead) -> dict[str, Any]:
    return {"id": head.id, "object": "text_completion", "created": head.created, "request_id": head.request_id}


def _text(pieces: Iterable[Piece], echo: str) -> dict[str, Any]:
    """Text, and thoughts beside it."""
    said = list(pieces)
    text = echo + "".join(piece.text for piece in said if isinstance(piece, Content))
    thoughts = "".join(piece.text for piece in said if isinstance(piece, Reasoning))
    return {"text": text, **({"reasoning_content": thoughts} if thoughts else {})}


def _logprobs(entries: Sequence[Logprobs], offset: int = 0) -> dict[str, Any]:
    """OpenAI's older form: four lists, one entry each for every token. ``offset`` is where the first one begins."""
    tokens = [entry.chosen.piece.decode("utf-8", "backslashreplace") for entry in entries]
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token)
    return {
        "tokens": tokens,
        "token_logprobs": [entry.chosen.logprob for entry in entries],
        "top_logprobs": [
            {each.piece.decode("utf-8", "backslashreplace"): each.logprob for each in (*entry.top, entry.chosen)}
            for entry in entries
        ],
        "text_offset": offsets,
    }
