"""Guesses at the next tokens: what followed the same few words before, in the prompt or in the answer.

Owns the index of one sequence (prompt lookup, https://github.com/apoorvumang/prompt-lookup-decoding). One dictionary
entry per token and length; no model is asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

# Longer agreement first: it is the better sign.
_LENGTHS = (6, 3)


class NgramDrafter:
    """``extend`` with every token of prompt and answer in order, then ``propose``."""

    def __init__(self, tokens: Iterable[int] = ()) -> None:
        self._tokens: list[int] = []
        # For each run of tokens the position after its latest occurrence, and after the one before.
        self._after: list[dict[tuple[int, ...], tuple[int, int]]] = [{} for _ in _LENGTHS]
        self.extend(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def extend(self, tokens: Iterable[int]) -> None:
        mine = self._tokens
        for token in tokens:
            mine.append(token)
            end = len(mine)
            for length, after in zip(_LENGTHS, self._after, strict=True):
                if end >= length:
                    run = tuple(mine[end - length :])
                    latest = after.get(run)
                    after[run] = (end, latest[0] if latest else 0)

    def propose(self, most: int) -> tuple[list[int], int]:
        """Up to ``most`` tokens, and how many tokens before them agreed (0 and nothing when nothing did)."""
        end = len(self._tokens)
        for length, after in zip(_LENGTHS, self._after, strict=True):
            if end < length:
                continue
            _, earlier = after[tuple(self._tokens[end - length :])]
            if earlier:
                found = self._tokens[earlier : earlier + most]
                # Negative ids stand for an image's cells, which nobody can say.
                return list(itertools.takewhile(lambda token: token >= 0, found)), length
        return [], 0
