"""Guesses at the next tokens: what followed the same few words before, in the prompt or in the answer.

Owns the index of one sequence (prompt lookup, https://github.com/apoorvumang/prompt-lookup-decoding). One dictionary
entry per token and length; no model is asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

# Runs that are looked up, the longer ones first.
_LENGTHS = (6, 3)
# Further agreement than this says nothing more about a guess.
LONGEST_AGREEMENT = 24


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
        """Up to ``most`` tokens, and how many before them agree with those before what they repeat."""
        end = len(self._tokens)
        for length, after in zip(_LENGTHS, self._after, strict=True):
            if end < length:
                continue
            _, earlier = after[tuple(self._tokens[end - length :])]
            if earlier:
                # Behind the last token the repetition is taken to begin again.
                found = itertools.islice(itertools.cycle(self._tokens[earlier:]), most)
                # Negative ids stand for an image's cells, which nobody can say.
                drafts = list(itertools.takewhile(lambda token: token >= 0, found))
                return drafts, self._agreement(earlier, at_least=length)
        return [], 0

    def _agreement(self, earlier: int, *, at_least: int) -> int:
        """How many tokens before ``earlier`` are those before the end."""
        mine, end = self._tokens, len(self._tokens)
        agreed = at_least
        while agreed < min(LONGEST_AGREEMENT, earlier) and mine[earlier - agreed - 1] == mine[end - agreed - 1]:
            agreed += 1
        return agreed
