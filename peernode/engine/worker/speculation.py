"""Whether to guess, how far, and for whom: drafts are worth their rows only while enough of them turn out right.

Owns what is known of each answer's luck, which needs no drafts: every guess is compared with what came. The cost of a
row comes from measured steps, so that drafting stops by itself where rows are dear or luck is out. All answers of a
step draft from one budget: what counts is how many tokens the step promises for its time, whoever gets them. The drafts
are verified in the same decode step as everything else, by the choice that would have been made anyway.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator

from peernode.engine.worker.drafting import RESUMED, NgramDrafter
from peernode.engine.worker.pacing import Pace
from peernode.engine.worker.sequence import Sequence

MOST_SEQUENCES = 8
# Rows of logits that a step may have beside those of the answers.
DRAFT_ROWS = 48
# Of one answer in one step.
_MOST_DRAFTS = 23
# Guesses that are so unlikely are not even weighed.
_HOPELESS = 0.05
# The chance that a guess is right, by how many tokens before it agree with what it repeats, before anything was seen.
_FIRST_LUCK = {24: 0.97, 12: 0.9, 6: 0.8, 3: 0.7, RESUMED: 0.75}
_WEIGHT = 0.08
# The same by the token before the guess: some are followed by what changes. So many guesses there weigh as much as all
# that is known of the agreement, and they count ever less.
_ENOUGH, _FADE = 2.0, 0.9
# A step must promise that much more than one without drafts, for costs are estimates.
_MARGIN = 1.08


class Speculator:
    """The drafts of one answer: ``look`` before a step, then take some of ``found``."""

    def __init__(self, sequence: Sequence) -> None:
        self._sequence = sequence
        self._drafter = NgramDrafter(sequence.prompt.tolist())
        self._luck = dict(_FIRST_LUCK)
        self._agreed = 0
        self._found: list[int] = []
        self._last = -1
        # After each token: how many guesses were right, and how many there were; lately more than long ago.
        self._after: dict[int, tuple[float, float]] = {}

    def look(self, most: int) -> list[float]:
        """The chance of each of at most so many guesses that it and all before it are right."""
        said = self._sequence.said[len(self._drafter) - len(self._sequence.prompt) :]
        self._learn(said)
        self._drafter.extend(said)
        self._last = self._sequence.said[-1]
        self._found, self._agreed = self._drafter.propose(min(max(most, 1), _MOST_DRAFTS))
        chances = itertools.accumulate(self._lucks(self._found[: max(0, most)]), operator.mul)
        return list(itertools.takewhile(lambda chance: chance > _HOPELESS, chances))

    def draft(self, count: int) -> list[int]:
        """The first ``count`` guesses of the last look, less what a grammar forbids."""
        constraint, drafts = self._sequence.constraint, self._found[:count]
        return drafts if constraint is None or not drafts else drafts[: constraint.allowed(drafts)]

    def _lucks(self, guesses: list[int]) -> Iterator[float]:
        """The chance of each guess, if all before it are right."""
        for at, token in enumerate([self._last, *guesses[:-1]] if guesses else []):
            luck = self._luck[_class(self._agreed + at)]
            right, tries = self._after.get(token, (0.0, 0.0))
            yield (luck * _ENOUGH + right) / (_ENOUGH + tries)

    def _learn(self, said: list[int]) -> None:
        """From what came instead of the last guesses, or as they had it."""
        before = self._last
        for at, (guess, token) in enumerate(zip(self._found, said, strict=False)):
            agreed = _class(self._agreed + at)
            self._luck[agreed] += _WEIGHT * ((guess == token) - self._luck[agreed])
            right, tries = self._after.get(before, (0.0, 0.0))
            self._after[before] = (right * _FADE + (guess == token), tries * _FADE + 1)
            if guess != token:
                return
            before = token


def worthwhile(chances: list[list[float]], cost: Callable[[int], float | None], *, sure: int) -> list[int]:
    """How many drafts of each answer promise most tokens for the time of the step.

    ``chances`` of each answer fall; ``sure`` tokens come without drafts. ``cost``: of a step with so many drafts, in
    steps without any, or None from where on it would take too long.
    """
    likeliest = sorted((-chance, at, answer) for answer, row in enumerate(chances) for at, chance in enumerate(row))
    best, best_rate, promised = 0, _MARGIN * sure, float(sure)
    for count, (chance, _, _) in enumerate(likeliest, start=1):
        step = cost(count)
        if step is None:
            break
        promised -= chance
        if promised / step > best_rate:
            best, best_rate = count, promised / step
    counts = [0] * len(chances)
    for _, _, answer in likeliest[:best]:
        counts[answer] += 1
    return counts


class Speculation:
    """All running answers. On only while few sequences run and all of them decode."""

    def __init__(self, pace: Pace, *, enabled: bool) -> None:
        self._pace = pace
        self._enabled = enabled
        self._speculators: dict[int, Speculator] = {}
        self.drafted = self.accepted = 0

    def propose(self, decoding: list[Sequence], *, room: int) -> None:
        """Give each sequence its drafts for this step; ``room`` rows may be added in all."""
        if not self._enabled or not 0 < len(decoding) <= MOST_SEQUENCES or room <= 0:
            return
        rows = sum(len(sequence.pending) for sequence in decoding)
        bare_s = self._pace.rows_s(rows) or 1.0

        def cost(drafts: int) -> float | None:
            seconds = self._pace.rows_s(rows + drafts) or bare_s
            return seconds / bare_s if drafts <= room and self._pace.bears(seconds, bare=bare_s) else None

        speculators = [self._of(sequence) for sequence in decoding]
        chances = [
            speculator.look(_cells(sequence)) for speculator, sequence in zip(speculators, decoding, strict=True)
        ]
        counts = worthwhile(chances, cost, sure=len(decoding))
        for sequence, speculator, count in zip(decoding, speculators, counts, strict=True):
            sequence.drafts = speculator.draft(count)

    def judge(self, drafted: int, kept: int) -> None:
        """``kept`` of ``drafted`` tokens were right."""
        self.drafted += drafted
        self.accepted += kept

    def forget(self, sequence: Sequence) -> None:
        self._speculators.pop(sequence.job, None)

    def _of(self, sequence: Sequence) -> Speculator:
        found = self._speculators.get(sequence.job)
        if found is None:
            found = self._speculators[sequence.job] = Speculator(sequence)
        return found


def _cells(sequence: Sequence) -> int:
    """Every draft takes a cell that the sequence has reserved; an answer's last token needs none."""
    return sequence.reserved - sequence.in_memory - len(sequence.pending) - 1


def _class(agreed: int) -> int:
    return next((least for least in _FIRST_LUCK if least <= agreed), min(_FIRST_LUCK))
