"""When a job's turn comes at a provider: what waits before it, in seconds, by what the provider has measured of itself.

Prompts are computed one after the other; who finds no slot waits until an answer has ended. Pure. The turn is when the
job's own prompt begins to be computed; how long that takes is for whoever asks to say, who may know more of it.
"""

from __future__ import annotations

from collections.abc import Hashable

# Of the prompt that is being computed just now, so much is left, in the mean.
LEFT = 0.5
# The least share of an ended answer in the mean time that one holds its slot, and what is assumed before the first.
SHARE = 0.2
TYPICAL_ANSWER_S = 5.0
# An answer that broke off looks for an heir for ten seconds, and who is full now may be it.
MOST_AWAY_S = 8.0


class WaitingLine:
    """The jobs of one model. ``slots`` answers run side by side; times are seconds on the caller's clock."""

    def __init__(self, slots: int) -> None:
        self._slots = max(slots, 1)
        self._ahead: dict[Hashable, int] = {}
        self._begun: dict[Hashable, float] = {}
        self._answer_s, self._ended = TYPICAL_ANSWER_S, 0

    def joined(self, job: Hashable, prompt_tokens: int) -> None:
        """A job was taken; its prompt has about so many tokens."""
        self._ahead[job] = prompt_tokens

    def begun(self, job: Hashable, now: float) -> None:
        """Its first token is out."""
        if self._ahead.pop(job, None) is not None:
            self._begun[job] = now

    def left(self, job: Hashable, now: float) -> None:
        """It is here no more."""
        self._ahead.pop(job, None)
        since = self._begun.pop(job, None)
        if since is not None:
            self._ended += 1
            self._answer_s += (now - since - self._answer_s) * max(SHARE, 1 / self._ended)

    @property
    def waiting(self) -> int:
        """Jobs without a first token."""
        return len(self._ahead)

    def room_in(self) -> float:
        """Seconds until some of those who wait will have had their turn; for whoever found no place."""
        return min(max(len(self._ahead) / 4, 1) * self._answer_s / self._slots, MOST_AWAY_S)

    def turn_in(self, job: Hashable, *, token_s: float) -> float:
        """Seconds until the turn of a job in the line; 0 when it has come. ``token_s`` is what a token of a prompt
        takes in the mean, those that need not be computed included.
        """
        tokens, place = 0.0, 0
        for other, prompt_tokens in self._ahead.items():
            if other == job:
                break
            tokens += prompt_tokens if place else prompt_tokens * LEFT
            place += 1
        else:
            return 0.0
        over = len(self._begun) + place + 1 - self._slots
        return tokens * token_s + max(over, 0) * self._answer_s / self._slots
