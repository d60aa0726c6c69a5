"""What an answer is just repeating: where that goes on, for how long it has agreed, where it resumes after a change.

An edit copies long runs and changes a word between them. Behind the changed word the copy goes on a few tokens further,
so one token that is found there says more than any run of three elsewhere. Pure.
"""

from __future__ import annotations

# A run so long was a copy; behind its break it is looked for within so many tokens, and for so many tokens.
_COPY = 8
_GAP = 8


class Trail:
    """``at`` is the place among the tokens so far of the one that comes next if the repetition goes on, else 0.

    ``agreed`` counts the tokens that have agreed.
    """

    __slots__ = ("_broken_at", "_since", "agreed", "at")

    def __init__(self) -> None:
        self.at = self.agreed = 0
        self._broken_at = self._since = 0

    def take(self, at: int, agreed: int) -> None:
        """Follow the repetition that goes on at ``at``."""
        self.at, self.agreed = at, agreed

    def follow(self, tokens: list[int], token: int) -> None:
        """``token`` comes after ``tokens``."""
        self._since += 1
        if not self.at:
            return
        if tokens[self.at] == token:
            self.at += 1
            self.agreed += 1
            return
        if self.agreed >= _COPY:
            self._broken_at, self._since = self.at, 1
        self.at = self.agreed = 0

    def resumed(self, tokens: list[int]) -> int:
        """Where a copy that was broken off shortly before goes on, if its last token has been found again; else 0."""
        if not self._broken_at or self._since > _GAP:
            return 0
        # The tokens since the break are the change; what it is compared with ends before them.
        end = min(self._broken_at + _GAP, len(tokens) - self._since)
        return next((at + 1 for at in range(self._broken_at, end) if tokens[at] == tokens[-1]), 0)
