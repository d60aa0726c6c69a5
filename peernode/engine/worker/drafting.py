"""Guesses at the next tokens: what followed the same few words before, in the prompt or in the answer.

Owns the index of one sequence (prompt lookup, https://github.com/apoorvumang/prompt-lookup-decoding). One dictionary
entry per token and length; no model is asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from peernode.engine.worker.trail import Trail

# Runs that are looked up, the longer ones first.
_LENGTHS = (6, 3)
# What is said to have agreed where a copy goes on behind a changed word: less than any run that was looked up.
RESUMED = 1
# Further agreement than this says nothing more about a guess.
LONGEST_AGREEMENT = 24


class NgramDrafter:
    """``extend`` with every token of prompt and answer in order, then ``propose``."""

    def __init__(self, tokens: Iterable[int] = ()) -> None:
        self._tokens: list[int] = []
        self._trail = Trail()
        # For each run of tokens the position after its latest occurrence, and after the one before.
        self._after: list[dict[tuple[int, ...], tuple[int, int]]] = [{} for _ in _LENGTHS]
        self.extend(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def extend(self, tokens: Iterable[int]) -> None:
        mine = self._tokens
        for token in tokens:
            self._trail.follow(mine, token)
            mine.append(token)
            end = len(mine)
            for length, after in zip(_LENGTHS, self._after, strict=True):
                if end >= length:
                    run = tuple(mine[end - length :])
                    latest = after.get(run)
                    after[run] = (end, latest[0] if latest else 0)

    def propose(self, most: int) -> tuple[list[int], int]:
        """Up to ``most`` tokens, and how many before them agree with those before what they repeat."""
        trail = self._trail
        if trail.agreed < _LENGTHS[0]:
            at, agreed = self._repeated()
            if agreed > trail.agreed:
                trail.take(at, agreed)
        return self._from(trail.at, most), min(trail.agreed, LONGEST_AGREEMENT)

    def _repeated(self) -> tuple[int, int]:
        """Where the longest run at the end stood before, behind it, and how many tokens agree; (0, 0) if nowhere."""
        resumed = self._trail.resumed(self._tokens)
        end = len(self._tokens)
        for length, after in zip(_LENGTHS, self._after, strict=True):
            if end < length or (resumed and length < _LENGTHS[0]):
                continue
            _, earlier = after[tuple(self._tokens[end - length :])]
            if earlier:
                return earlier, self._agreement(earlier, at_least=length)
        return (resumed, RESUMED) if resumed else (0, 0)

    def _from(self, at: int, most: int) -> list[int]:
        if not at:
            return []
        # Behind the last token the repetition is taken to begin again.
        found = itertools.islice(itertools.cycle(self._tokens[at:]), most)
        # Negative ids stand for an image's cells, which nobody can say.
        return list(itertools.takewhile(lambda token: token >= 0, found))

    def _agreement(self, earlier: int, *, at_least: int) -> int:
        """How many tokens before ``earlier`` are those before the end."""
        mine, end = self._tokens, len(self._tokens)
        agreed = at_least
        while agreed < min(LONGEST_AGREEMENT, earlier) and mine[earlier - agreed - 1] == mine[end - agreed - 1]:
            agreed += 1
        return agreed
