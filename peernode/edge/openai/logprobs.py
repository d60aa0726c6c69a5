"""Log-probabilities as OpenAI shows them: ``choices[].logprobs.content[]``, one entry for each output token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from peernode.wire.logprobs import Logprobs, TokenLogprob


def logprobs_block(entries: Iterable[Logprobs]) -> dict[str, Any]:
    """The value of ``logprobs`` in a choice."""
    content = [
        {**_token(entry.chosen), "top_logprobs": [_token(alternative) for alternative in entry.top]}
        for entry in entries
    ]
    return {"content": content, "refusal": None}


def _token(entry: TokenLogprob) -> dict[str, Any]:
    # A piece may hold half a character; its bytes are then spelt out, as OpenAI does.
    token = entry.piece.decode("utf-8", "backslashreplace")
    return {"token": token, "logprob": entry.logprob, "bytes": list(entry.piece)}
