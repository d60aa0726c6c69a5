"""Answers whose provider is lost in the middle, in a network of an edge without a model and real providers.

Each run asks one provider for a whole answer, then for the same again, breaks that provider at a random token, and
reads on: the answer must be complete, one stream with one id and one bill, the same up to the break and nearly always
behind it. Half of the runs have a temperature of 0, the others 0.8 and a seed. At the end every part of every answer
must have its receipt, that of the lost provider too, for exactly its own tokens, and the ledgers of all nodes must
agree to the micro-credit. ``dead`` kills the provider before the request and measures the way to the first token;
``all`` kills one provider after the other under eight clients.

Runs go on in ``--lanes`` side by side in one network, each with three providers of its own, of which two are broken in
turn: one comes back while the others are asked.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bench_report import DEMO_MODEL, make_table, orderly
from failover_load import lose_all
from failover_network import KINDS, FailoverNetwork, chat
from failover_verdict import Verdict, judge
from money_audit import disagreements, read_side
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
MAX_TOKENS = 72
# Providers of one lane, and how long the last receipts may take when everybody is well again.
LANE = 3
SETTLED_S = 90.0
# Short answers are passed over, and the last tokens may be under way when a signal comes.
LEAST_TOKENS, LAST_TOKENS = 24, 12
TOPICS = ("a fox", "a lighthouse", "the sea", "an old clock", "a long journey", "winter", "a market", "two sisters")


@dataclass
class Run:
    """One broken answer, the whole one that it is held against, and where it was broken."""

    kind: str
    answer: StreamedAnswer
    whole: StreamedAnswer
    seams: list[int]


class Lane:
    """Runs one after the other, with some providers that no other lane asks."""

    def __init__(self, network: FailoverNetwork, among: Sequence[int], rng: random.Random) -> None:
        self._network = network
        self._among = tuple(among)
        self._rng = rng
        self._number = among[0] * 1000

    def one(self, kind: str) -> tuple[Verdict, Run | None] | None:
        """One broken answer; None when its end came before the break."""
        network, number, victim = self._network, *self._next()
        network.wait_well(victim)
        network.wait_well(self._heir(victim))
        body = self._body(number)
        whole = network.ask(network.aimed(body, only=victim))
        if whole.faults() or len(whole.tokens) < LEAST_TOKENS:
            if whole.faults():
                raise NodeFailed(f"a whole answer failed: {whole.faults()}")
            return None
        after = self._rng.randint(1, len(whole.tokens) - LAST_TOKENS)
        strike = network.breaker(kind, victim, after)
        try:
            answer = network.ask(network.aimed(body, first=victim, among=self._among), strike)
        finally:
            network.mend(kind, victim)
        seams = network.seams(answer)
        if not seams and not answer.faults():
            return None
        if not seams:
            return Verdict(kind, 0, 0.0, 0, identical=False, unreceipted=0, broken=answer.faults()), None
        return judge(kind, answer, whole, seams, network.receipts(answer)), Run(kind, answer, whole, seams)

    def dead(self) -> tuple[Verdict, Run | None]:
        """The way to the first token with a dead provider first in line; ``gap_s`` is what it takes longer."""
        network, number, victim = self._network, *self._next()
        for each in (victim, self._heir(victim)):
            network.wait_well(each)
        other = self._heir(victim)
        calm = network.ask(network.aimed(chat(f"Count from {number} to ten.", max_tokens=4), only=other))
        network.providers[victim].kill()
        body = chat(f"Count from {number} to six.", max_tokens=4)
        answer = network.ask(network.aimed(body, first=victim, among=(victim, other)))
        network.mend("kill", victim)
        broken = answer.faults()
        failed = network.passed_over(answer)
        if len(failed) > 1:
            broken.append(f"{len(failed)} dials failed")
        more_s = _first_s(answer) - _first_s(calm)
        return Verdict(DEAD, 0, more_s, 0, identical=True, unreceipted=0, broken=broken), None

    def _next(self) -> tuple[int, int]:
        self._number += 1
        return self._number, self._among[self._number % len(self._among)]

    def _heir(self, victim: int) -> int:
        """Whoever was broken longest ago."""
        return self._among[(self._among.index(victim) + 1) % len(self._among)]

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
        *("parts without\na receipt", "ended before\nthe break"),
    )
    for kind, verdicts in found.items():
        if not verdicts:
            continue
        gaps = [each.gap_s for each in verdicts]
        table.add_row(
            kind,
            str(len(verdicts)),
            str(sum(not each.broken for each in verdicts)),
            f"{sum(each.identical for each in verdicts) / len(verdicts):.0%}",
            f"{statistics.median(gaps):.2f}",
            f"{max(gaps):.2f}",
            str(sum(len(each.broken) for each in verdicts)),
            str(sum(each.unreceipted for each in verdicts)),
            str(missed.get(kind, 0)),
        )
    console.print(table)


class Chaos:
    """All lanes of one network, and what came of them."""

    def __init__(self, network: FailoverNetwork, lanes: Sequence[Lane], console: Console) -> None:
        self.found: dict[str, list[Verdict]] = {}
        self.missed: dict[str, int] = {}
        self._runs: list[tuple[Run, Verdict]] = []
        self._network = network
        self._lanes = lanes
        self._console = console
        self._began = time.monotonic()

    def all_of(self, kind: str, count: int) -> None:
        """So many runs of one kind, over all lanes. Raises NodeFailed."""
        verdicts = self.found[kind] = []
        left = count

        def go_on(lane: Lane) -> None:
            nonlocal left
            while left > 0:
                left -= 1  # threads change places only where one waits
                made = lane.dead() if kind == DEAD else lane.one(kind)
                if made is None:
                    left += 1
                    self.missed[kind] = self.missed.get(kind, 0) + 1
                    if self.missed[kind] > 10 + len(verdicts):
                        raise NodeFailed(f"{kind}: the answers end before they are broken")
                    continue
                verdict, run = made
                verdicts.append(verdict)
                if run is not None:
                    self._runs.append((run, verdict))
                self._tell(verdict, len(verdicts), count)

        with ThreadPoolExecutor(len(self._lanes)) as pool:
            for future in [pool.submit(go_on, lane) for lane in self._lanes]:
                future.result()

    def settle(self) -> list[str]:
        """Wait for the receipts of all parts, judge each answer again with them, and compare the ledgers."""
        for each in range(len(self._network.providers)):
            self._network.wait_well(each)
        deadline = time.monotonic() + SETTLED_S
        for run, verdict in self._runs:
            parts = len(run.seams) + 1
            within_s = max(deadline - time.monotonic(), 0.0)
            receipts = self._network.all_receipts(run.answer, parts, within_s=within_s)
            again = judge(run.kind, run.answer, run.whole, run.seams, receipts)
            verdict.unreceipted = again.unreceipted
            verdict.broken = again.broken
            if again.unreceipted:
                verdict.broken = [*again.broken, f"{again.unreceipted} of {parts} parts have no receipt"]
        edge = self._network.edge
        while True:
            sides = [read_side(node.home, node.peer_id) for node in self._network.providers]
            differing = disagreements(read_side(edge.home, edge.peer_id), sides)
            if not differing or time.monotonic() > deadline:
                return [f"ledgers: {said}" for said in differing]
            time.sleep(0.5)

    def _tell(self, verdict: Verdict, number: int, count: int) -> None:
        minutes = (time.monotonic() - self._began) / 60
        said = f"{minutes:5.1f} min  {verdict.kind} {number}/{count}: at token {verdict.seam}, "
        said += f"on after {verdict.gap_s:.2f} s"
        alike = "identical" if verdict.identical else f"alike up to token {verdict.alike}"
        self._console.print(f"{said}, {alike} {'; '.join(verdict.broken)}", highlight=False, markup=False)
        if verdict.broken:
            for line in self._network.edge.log[-LOG_LINES:]:
                self._console.print(json.dumps(line), highlight=False, markup=False)


def run(
    options: argparse.Namespace, console: Console, scratch: Path
) -> tuple[dict[str, list[Verdict]], dict[str, int], list[str]]:
    kinds = options.kind or [*KINDS, DEAD, ALL]
    with ExitStack() as stack:
        network = FailoverNetwork(scratch, options.model, providers=LANE * options.lanes)
        stack.callback(network.kill)
        lanes = [
            Lane(network, range(LANE * at, LANE * (at + 1)), random.Random(f"{options.seed}/{at}"))
            for at in range(options.lanes)
        ]
        chaos = Chaos(network, lanes, console)
        broken: list[str] = []
        if set(kinds) != {ALL}:
            network.start()
            for kind in kinds:
                if kind != ALL:
                    chaos.all_of(kind, options.runs or RUNS.get(kind, OTHER_RUNS))
            console.print("all answers are in; waiting for the receipts of lost parts", highlight=False)
            broken += chaos.settle()
    found = chaos.found
    broken += [said for kind in found for said in promises(kind, found[kind], patience=options.patience)]
    if ALL in kinds:
        broken += lose_all(scratch / ALL, options.model, console)
    return found, chaos.missed, broken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cached = Path(user_cache_dir("peernode")) / "models" / DEMO_MODEL
    parser.add_argument("--model", type=Path, default=Path(os.environ.get("PEERNODE_TEST_MODEL", cached)))
    parser.add_argument("--runs", type=int, default=0, help="of each kind (100 of kill, 50 of the others)")
    parser.add_argument(
        "--kind", action="append", choices=[*KINDS, DEAD, ALL], help="may be given again; all unless given"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=2, help="runs side by side, each with three providers")
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
