"""What is counted in a run, after its warm-up; what concerns liars, from the beginning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

# A liar's traffic is judged after so many of its jobs.
JUDGED_AFTER = 50


@dataclass(slots=True)
class Trail:
    """One coordinator's jobs for one model that went to one liar: the number of each among all of that model's."""

    places: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Measures:
    """``first_tokens`` and ``answers`` in seconds; who got none has waited until it gave up.

    ``hit_tokens``: prompt tokens that were in the chosen provider's cache. ``seen_tokens``: those that a cache of no
    bounds, shared by all nodes of a model, would have had.
    """

    first_tokens: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    asked: int = 0
    failed: int = 0
    hedged: int = 0
    refused: int = 0
    moved: int = 0
    lost: int = 0
    swallowed: int = 0
    prompt_tokens: int = 0
    hit_tokens: int = 0
    seen_tokens: int = 0
    busy: float = 0.0
    jobs: Counter[tuple[int, str]] = field(default_factory=Counter)
    trails: dict[tuple[int, str, str], Trail] = field(default_factory=dict)

    @property
    def hits(self) -> float:
        """The share of prompt tokens that were in a cache."""
        return self.hit_tokens / max(self.prompt_tokens, 1)

    @property
    def seen(self) -> float:
        return self.seen_tokens / max(self.prompt_tokens, 1)

    def first_token(self, share: float) -> float:
        """The time within which ``share`` of all first tokens came; infinite if there were none."""
        return percentile(self.first_tokens, share)

    def liar_share(self, *, after: int = JUDGED_AFTER) -> tuple[float, float, int]:
        """(mean, largest) share of a coordinator's jobs for a model that one liar gets ``after`` so many, and of how
        many pairs. Only pairs of coordinator and liar with so many jobs are judged."""
        shares = []
        for (coordinator, model, _), trail in self.trails.items():
            if len(trail.places) >= after:
                later = self.jobs[coordinator, model] - (trail.places[after - 1] if after else 0)
                if later > after:
                    shares.append((len(trail.places) - after) / later)
        return (sum(shares) / len(shares), max(shares), len(shares)) if shares else (0.0, 0.0, 0)

    def liar_curve(self, step: int = 5) -> Iterator[tuple[int, float]]:
        """(jobs that a liar has had, its share of a coordinator's traffic for its model during the next ``step``)."""
        place = 0
        while True:
            spans = [
                trail.places[place + step - 1] - (trail.places[place - 1] if place else 0)
                for trail in self.trails.values()
                if len(trail.places) >= place + step
            ]
            if not spans:
                return
            yield place, step * len(spans) / sum(spans)
            place += step


def percentile(values: Iterable[float], share: float) -> float:
    """The value that ``share`` of them do not exceed; infinite of none."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("inf")
