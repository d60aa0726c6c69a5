"""Answers whose provider is lost in the middle, in a network of an edge without a model and real providers.

Each run asks one provider for a whole answer, then for the same again, breaks that provider at a random token, and
reads on: the answer must be complete, one stream with one id and one bill, the same up to the break and nearly always
behind it, and the receipt of whoever went on must be for exactly its part. The part of the lost provider has no receipt
at the edge yet: such parts are counted. Half of the runs have a temperature of 0, the others 0.8 and a seed. ``dead``
kills the provider before the request and measures the way to the first token; ``all`` kills one provider after the
other under eight clients.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bench_report import DEMO_MODEL, make_table, orderly
from failover_load import lose_all
from failover_network import KINDS, FailoverNetwork, chat
from failover_verdict import Verdict, judge
from nodes import NodeFailed
from platformdirs import user_cache_dir
from rich.console import Console
from streamed_answer import StreamedAnswer

RUNS = {"kill": 100}
OTHER_RUNS = 50
DEAD, ALL = "dead", "all"
LEAST_ALIKE = 0.85
# Beyond the stall timer and the prompt there is nothing to wait for.
WORST_GAP_S = {"silence": 12.0, "stop": 7.0, "black_hole": 7.0}
OTHER_GAP_S = 3.0
DEAD_S = 0.5
# Of the edge, shown where something was wrong.
LOG_LINES = 30
MAX_TOKENS = 96
# Short answers are passed over, and the last tokens may be under way when a signal comes.
LEAST_TOKENS, LAST_TOKENS = 24, 12
TOPICS = ("a fox", "a lighthouse", "the sea", "an old clock", "a long journey", "winter", "a market", "two sisters")


class Runs:
    """All runs of one network."""

    def __init__(self, network: FailoverNetwork, rng: random.Random) -> None:
        self._network = network
        self._rng = rng
        self._number = 0

    def one(self, kind: str) -> Verdict | None:
        """One broken answer; None when its end came before the break."""
        network, number = self._network, self._number
        self._number += 1
        victim = number % len(network.providers)
        for each in range(len(network.providers)):
            network.wait_well(each)
        body = self._body(number)
        whole = network.ask(network.aimed(body, only=victim))
        if whole.faults() or len(whole.tokens) < LEAST_TOKENS:
            if whole.faults():
                raise NodeFailed(f"a whole answer failed: {whole.faults()}")
            return None
        after = self._rng.randint(1, len(whole.tokens) - LAST_TOKENS)
        strike = network.breaker(kind, victim, after)
        try:
            answer = network.ask(network.aimed(body, first=victim), strike)
        finally:
            network.mend(kind, victim)
        seams = network.seams(answer)
        if not seams and not answer.faults():
            return None
        if not seams:
            return Verdict(kind, 0, 0.0, 0, identical=False, unreceipted=0, broken=answer.faults())
        return judge(kind, answer, whole, seams, network.receipts(answer))

    def dead(self) -> Verdict:
        """The way to the first token with a dead provider first in line; ``gap_s`` is what it takes longer."""
        network, number = self._network, self._number
        self._number += 1
        victim = number % len(network.providers)
        other = (victim + 1) % len(network.providers)
        for each in range(len(network.providers)):
            network.wait_well(each)
        calm = network.ask(network.aimed(chat(f"Count from {number} to ten.", max_tokens=4), only=other))
        network.providers[victim].kill()
        answer = network.ask(network.aimed(chat(f"Count from {number} to six.", max_tokens=4), first=victim))
        network.mend("kill", victim)
        broken = answer.faults()
        failed = network.passed_over(answer)
        if len(failed) > 1:
            broken.append(f"{len(failed)} dials failed")
        more_s = _first_s(answer) - _first_s(calm)
        return Verdict(DEAD, 0, more_s, 0, identical=True, unreceipted=0, broken=broken)

    def _body(self, number: int) -> dict[str, Any]:
        prompt = f"Tell a long story about {self._rng.choice(TOPICS)} and the number {number}."
        sampling: dict[str, float] = {"temperature": 0} if number % 4 < 2 else {"temperature": 0.8, "seed": number}
        return chat(prompt, max_tokens=MAX_TOKENS, **sampling)


def _first_s(answer: StreamedAnswer) -> float:
    return answer.stamps[0] - answer.began if answer.stamps else float("inf")


def gap_bound(kind: str) -> float:
    """Seconds from the break to the next token that are allowed."""
    return DEAD_S if kind == DEAD else WORST_GAP_S.get(kind, OTHER_GAP_S)


def promises(kind: str, verdicts: list[Verdict], *, patience: float) -> list[str]:
    """What was broken over all runs of one kind."""
    broken = [said for each in verdicts for said in each.broken]
    if verdicts and sum(each.identical for each in verdicts) < LEAST_ALIKE * len(verdicts):
        broken.append("too few answers are the same as without a break")
    worst = max((each.gap_s for each in verdicts), default=0.0)
    if worst > gap_bound(kind) * patience:
        broken.append(f"{worst:.1f} s without a token")
    return [f"{kind}: {said}" for said in broken]


def show(console: Console, found: dict[str, list[Verdict]], missed: dict[str, int]) -> None:
    table = make_table(
        "Answers whose provider was lost",
        *("kind", "runs", "complete", "identical", "to the next token, s\nmedian", "\nworst", "faults"),
        *("parts without\na receipt yet", "ended before\nthe break"),
    )
    for kind, verdicts in found.items():
        if not verdicts:
            continue
        gaps = [each.gap_s for each in verdicts]
        table.add_row(
            kind,
            str(len(verdicts)),
            str(sum(not each.broken for each in verdicts)),
            str(sum(each.identical for each in verdicts)),
            f"{statistics.median(gaps):.2f}",
            f"{max(gaps):.2f}",
            str(sum(len(each.broken) for each in verdicts)),
            str(sum(each.unreceipted for each in verdicts)),
            str(missed.get(kind, 0)),
        )
    console.print(table)


def run(
    options: argparse.Namespace, console: Console, scratch: Path
) -> tuple[dict[str, list[Verdict]], dict[str, int], list[str]]:
    found: dict[str, list[Verdict]] = {}
    missed: dict[str, int] = {}
    kinds = options.kind or [*KINDS, DEAD, ALL]
    with ExitStack() as stack:
        network = FailoverNetwork(scratch, options.model)
        stack.callback(network.kill)
        if set(kinds) != {ALL}:
            network.start()
        runs = Runs(network, random.Random(options.seed))
        for kind in kinds:
            if kind == ALL:
                continue
            verdicts = found[kind] = []
            while len(verdicts) < (options.runs or RUNS.get(kind, OTHER_RUNS)):
                verdict = runs.dead() if kind == DEAD else runs.one(kind)
                if verdict is None:
                    missed[kind] = missed.get(kind, 0) + 1
                    if missed[kind] > 10 + len(verdicts):
                        raise NodeFailed(f"{kind}: the answers end before they are broken")
                    continue
                verdicts.append(verdict)
                said = f"{kind} {len(verdicts)}: at token {verdict.seam}, on after {verdict.gap_s:.2f} s"
                alike = "identical" if verdict.identical else f"alike up to token {verdict.alike}"
                console.print(f"{said}, {alike} {'; '.join(verdict.broken)}", highlight=False, markup=False)
                if verdict.broken:
                    for line in network.edge.log[-LOG_LINES:]:
                        console.print(json.dumps(line), highlight=False, markup=False)
    broken = [said for kind in found for said in promises(kind, found[kind], patience=options.patience)]
    if ALL in kinds:
        broken += lose_all(scratch / ALL, options.model, console)
    return found, missed, broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cached = Path(user_cache_dir("peernode")) / "models" / DEMO_MODEL
    parser.add_argument("--model", type=Path, default=Path(os.environ.get("PEERNODE_TEST_MODEL", cached)))
    parser.add_argument("--runs", type=int, default=0, help="of each kind (100 of kill, 50 of the others)")
    parser.add_argument(
        "--kind", action="append", choices=[*KINDS, DEAD, ALL], help="may be given again; all unless given"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=1.0, help="times the bounds on time, for a busy machine")
    parser.add_argument("--json", type=Path, help="write every run to this file, too")
    options = parser.parse_args()
    with orderly() as console, tempfile.TemporaryDirectory(prefix="peernode-failover-") as scratch:
        found, missed, broken = run(options, console, Path(scratch))
        if found:
            show(console, found, missed)
    for said in broken:
        console.print(f"BROKEN: {said}", highlight=False, markup=False)
    console.print("all promises kept" if not broken else f"{len(broken)} broken")
    if options.json:
        told = {kind: [asdict(each) for each in verdicts] for kind, verdicts in found.items()}
        options.json.write_text(json.dumps({"runs": told, "missed": missed, "broken": broken}, indent=2) + "\n")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
