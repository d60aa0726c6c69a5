"""What a run comes to, in figures small enough to keep: for tables, plots and files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from peernode.sim.measures import JUDGED_AFTER, Measures
from peernode.sim.policies import HITS_ALONE, LEAST_CONNECTIONS, OMNISCIENT, OURS, ROUND_ROBIN
from peernode.sim.scenario import Scenario

# Points of the distribution of first tokens that are kept.
POINTS = 200


@dataclass(frozen=True, slots=True)
class Result:
    """One policy in one scenario. Times in seconds, shares from 0 to 1.

    ``curve``: the first token's percentiles, evenly spaced. ``hits`` of prompt tokens; ``seen``: what a cache of no
    bounds in common would have hit. ``liar_jobs_share``: the part of a coordinator's traffic for its model that a
    liar got from the beginning on; ``liar_share``: (mean, largest, pairs judged) after ``JUDGED_AFTER`` jobs.
    """

    policy: str
    asked: int
    p50_s: float
    p95_s: float
    p99_s: float
    answer_p50_s: float
    answer_p99_s: float
    hits: float
    seen: float
    busy: float
    hedged: int
    refused: int
    moved: int
    lost: int
    failed: int
    swallowed: int
    liar_jobs_share: float
    liar_share: tuple[float, float, int]
    liar_curve: tuple[tuple[int, float], ...]
    curve: tuple[float, ...]

    @classmethod
    def of(cls, policy: str, seen: Measures) -> Result:
        ordered = sorted(seen.first_tokens)
        points = tuple(round(ordered[at * (len(ordered) - 1) // POINTS], 4) for at in range(POINTS + 1) if ordered)
        answers = sorted(seen.answers) or [float("inf")]
        return cls(
            policy=policy,
            asked=seen.asked,
            p50_s=seen.first_token(0.5),
            p95_s=seen.first_token(0.95),
            p99_s=seen.first_token(0.99),
            answer_p50_s=answers[len(answers) // 2],
            answer_p99_s=answers[int(len(answers) * 0.99)],
            hits=seen.hits,
            seen=seen.seen,
            busy=seen.busy,
            hedged=seen.hedged,
            refused=seen.refused,
            moved=seen.moved,
            lost=seen.lost,
            failed=seen.failed,
            swallowed=seen.swallowed,
            liar_jobs_share=seen.liar_share(after=0)[0],
            liar_share=seen.liar_share(),
            liar_curve=tuple(seen.liar_curve()),
            curve=points,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """All policies in one scenario."""

    scenario: Scenario
    results: tuple[Result, ...]

    def to_fields(self) -> dict[str, Any]:
        return {"scenario": asdict(self.scenario), "results": [asdict(result) for result in self.results]}

    def of(self, policy: str) -> Result | None:
        return next((result for result in self.results if result.policy == policy), None)

    def findings(self) -> list[str]:
        """What the figures say about the product's policy, a sentence each."""
        ours = self.of(OURS)
        if ours is None or not ours.asked:
            return []
        said = [
            f"p99 of the first token: {1 - ours.p99_s / other.p99_s:.0%} less than {other.policy}."
            for other in map(self.of, (ROUND_ROBIN, LEAST_CONNECTIONS))
            if other is not None
        ]
        if (best := self.of(OMNISCIENT)) is not None:
            said.append(f"p99 of the first token: {ours.p99_s / best.p99_s - 1:+.0%} against an omniscient scheduler.")
            said.append(f"Prefix hits: {ours.hits / max(best.hits, 1e-9):.0%} of the omniscient scheduler's.")
        if (oracle := self.of(HITS_ALONE)) is not None:
            said.append(f"Prefix hits: {ours.hits / max(oracle.hits, 1e-9):.0%} of those of an oracle for hits alone.")
        if self.scenario.liars:
            mean, largest, pairs = ours.liar_share
            said.append(
                f"A liar's share of a coordinator's traffic after {JUDGED_AFTER} of its jobs: {mean:.1%} in the mean, "
                f"{largest:.1%} at most ({pairs} judged)."
                if pairs
                else f"No liar was given {JUDGED_AFTER} jobs by any coordinator; from its first job on, it got "
                f"{ours.liar_jobs_share:.1%} of the traffic for its model."
            )
        if self.scenario.black_holes:
            said.append(f"Requests that met a black hole: {ours.swallowed / ours.asked:.2%}; failed: {ours.failed}.")
        return said
