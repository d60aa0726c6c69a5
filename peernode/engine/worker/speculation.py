"""Whether to guess, how far, and for whom: drafts are worth their rows only while enough of them turn out right.

Owns what is known of each answer's luck. The cost of a row comes from measured steps, so that drafting stops by itself
where rows are dear (a CPU) or luck is out; a short trial now and then finds out whether that has changed. The drafts
are verified in the same decode step as everything else, by the choice that would have been made anyway.
"""

from __future__ import annotations

from collections.abc import Callable

from peernode.engine.worker.drafting import NgramDrafter
from peernode.engine.worker.pacing import Pace
from peernode.engine.worker.sequence import Sequence

MOST_SEQUENCES = 2
# Rows of logits that a step may have beside those of the answers.
DRAFT_ROWS = 48
_COUNTS = (1, 3, 7, 15, 23)
_FIRST_LUCK = {24: 0.95, 12: 0.9, 6: 0.6, 3: 0.4}
_WEIGHT = 0.3
# A step must promise that much more than one without drafts, for costs are estimates.
_MARGIN = 1.15
# Tokens between two trials of an answer without luck, and after a trial that was right.
_TRIAL_EVERY, _TRIAL_AGAIN = 96, 8


class Speculator:
    """The drafts of one answer. ``propose`` before a step, ``judge`` after it."""

    def __init__(self, sequence: Sequence) -> None:
        self._sequence = sequence
        self._drafter = NgramDrafter(sequence.prompt.tolist())
        self._luck = dict(_FIRST_LUCK)
        self._agreed = 0
        self._next_trial = 0

    def propose(self, *, most: int, cost: Callable[[int], float]) -> list[int]:
        """Guesses after the pending tokens. ``cost``: of a step with so many drafts, in steps without any."""
        said = self._sequence.said
        self._drafter.extend(said[len(self._drafter) - len(self._sequence.prompt) :])
        drafts, self._agreed = self._drafter.propose(min(most, _COUNTS[-1]))
        if not drafts:
            return []
        count = worthwhile(self._luck[self._agreed], cost, len(drafts))
        if not count and len(said) >= self._next_trial:
            self._next_trial = len(said) + _TRIAL_EVERY
            count = 1
        constraint = self._sequence.constraint
        return drafts[: count if constraint is None or not count else constraint.allowed(drafts[:count])]

    def judge(self, drafted: int, kept: int) -> None:
        """``kept`` of ``drafted`` tokens were right."""
        # The first wrong one is one observation; those after it were never really tried.
        tried = min(drafted, kept + 1)
        weight = 1 - (1 - _WEIGHT) ** min(tried, 4)
        self._luck[self._agreed] += weight * (kept / tried - self._luck[self._agreed])
        if kept == drafted:
            self._next_trial = min(self._next_trial, len(self._sequence.said) + _TRIAL_AGAIN)


def worthwhile(luck: float, cost: Callable[[int], float], most: int) -> int:
    """How many drafts promise most tokens for the time, or 0; ``luck`` is the chance that the next one is right."""
    best, best_rate = 0, _MARGIN
    for count in {min(count, most) for count in _COUNTS}:
        promised = sum(luck**at for at in range(count + 1))
        rate = promised / cost(count)
        if rate > best_rate:
            best, best_rate = count, rate
    return best


class Speculation:
    """All running answers. On only while few sequences run and all of them decode."""

    def __init__(self, pace: Pace, *, enabled: bool) -> None:
        self._pace = pace
        self._enabled = enabled
        self._speculators: dict[int, Speculator] = {}
        self.drafted = self.accepted = 0

    def propose(self, decoding: list[Sequence], *, room: int) -> None:
        """Give each sequence its drafts for this step; ``room`` rows may be added in all."""
        if not self._enabled or not 0 < len(decoding) <= MOST_SEQUENCES:
            return
        rows = sum(len(sequence.pending) for sequence in decoding)
        bare_s = self._pace.rows_s(rows)

        def cost(drafts: int) -> float:
            return self._pace.rows_s(rows + drafts) / bare_s

        for sequence in decoding:
            speculator = self._speculators.get(sequence.job)
            if speculator is None:
                speculator = self._speculators[sequence.job] = Speculator(sequence)
            # Every draft takes a cell that the sequence has reserved; an answer's last token needs none.
            cells = sequence.reserved - sequence.in_memory - len(sequence.pending) - 1
            most = min(room // len(decoding), cells)
            sequence.drafts = speculator.propose(most=most, cost=cost) if most > 0 else []

    def judge(self, sequence: Sequence, drafted: int, kept: int) -> None:
        self.drafted += drafted
        self.accepted += kept
        self._speculators[sequence.job].judge(drafted, kept)

    def forget(self, sequence: Sequence) -> None:
        self._speculators.pop(sequence.job, None)
