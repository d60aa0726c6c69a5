"""Prompts that no template goes around: token ids as they are, and the two sides of a gap that the answer fills.

Whoever sends token ids may send control tokens, too; in the texts around a gap they are taken apart as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from peernode.chat.errors import BadRequest
from peernode.chat.message import TOKENS, Message
from peernode.engine.worker.sequence import TokenArray
from peernode.engine.worker.vocabulary import Vocabulary


def raw_prompt(messages: Sequence[Message], vocabulary: Vocabulary, *, most: int) -> TokenArray | None:
    """The prompt's ids; None when they are far more than ``most``. Raises BadRequest."""
    if messages[0].role == TOKENS:
        return _token_ids(messages[0].content, vocabulary)
    before, after = messages
    return _around_a_gap(before.content, after.content, vocabulary, most)


def _token_ids(content: str, vocabulary: Vocabulary) -> TokenArray:
    ids = np.array([int(token) for token in content.split(" ")], np.int64)
    if (unknown := ids[ids >= vocabulary.size]).size:
        raise BadRequest(
            "prompt holds a token id that the model does not know.",
            param="prompt",
            cause=f"{unknown[0]}; the model's ids end at {vocabulary.size - 1}",
        )
    return ids.astype(np.int32)


def _around_a_gap(before: str, after: str, vocabulary: Vocabulary, most: int) -> TokenArray | None:
    """Prefix, suffix, middle, in the order in which llama.cpp's server has them."""
    if -1 in vocabulary.gap:
        raise BadRequest(
            "This model cannot fill in before a suffix.",
            param="suffix",
            cause="its vocabulary has no tokens for that",
            remedy="Leave suffix out, or ask a model that was trained to fill in.",
        )
    sides = [vocabulary.tokenise(vocabulary.guard(text), most=most, opens=False) for text in (before, after)]
    prefix, suffix, middle = ([token] for token in vocabulary.gap)
    parts = [vocabulary.opening, prefix, sides[0], suffix, sides[1], middle]
    if any(part is None for part in parts):
        return None
    return np.concatenate([np.array(part, np.int32) for part in parts])
