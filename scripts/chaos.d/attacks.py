"""Chat from an edge to a provider while the provider's mesh port is attacked: calm and attack in turns, in one run.

Each attacker is a process of its own that yields to the nodes (``nice 19``) and sends no more than a bounded rate, a
multiple of what the node lets pass: on a small machine the attacker's own CPU would otherwise be measured. After each
attack the descriptors must be as few as before, memory nearly as little, the attacker banned or limited and shown so
in ``/admin/peers`` and the metrics, and the slow end of the round trips at most three times the calm one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
import httpx
import proc
from attack_watch import attacking, limited_by, shown_of
from bench_report import DEMO_MODEL, make_table, orderly, percentile
from gossip_attacks import NETWORK
from mesh_attacks import ATTACKS
from nodes import NodeFailed, NodeProcess
from platformdirs import user_cache_dir
from rich.console import Console

WORST_RATIO = 3.0
# What a node may hold more when it is over: caches of strangers' ids fill, each to its bound, and memory is not given
# back to the system at once.
MORE_DESCRIPTORS, MORE_MIB = 8, 24.0
SETTLE_S = 30.0
TOKENS = 4


@dataclass
class Phase:
    """The round trips of one calm or one attack, in milliseconds."""

    trips: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return statistics.median(self.trips)

    @property
    def p99(self) -> float:
        return percentile(self.trips, 0.99)


@dataclass
class Outcome:
    """What one kind of attack did. ``shown`` is what the node says of the attacker."""

    kind: str
    calm: Phase = field(default_factory=Phase)
    attacked: Phase = field(default_factory=Phase)
    held: list[tuple[int, float]] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    shown: str = ""
    broken: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return self.attacked.p99 / self.calm.p99


class Victims:
    """The provider that is attacked and the edge through which it is asked."""

    def __init__(self, scratch: Path, model: Path, stack: ExitStack) -> None:
        config = scratch / "provider.toml"  # one thread: the other core is for the nodes, the client and the attacker
        config.write_text(f'[[models]]\nid = "model"\npath = "{model}"\nthreads = 1\n')
        common = ("--network", NETWORK)
        self.provider = NodeProcess(scratch / "p", *common, "--config", str(config), "--no-http", name="provider")
        stack.callback(self.provider.kill)
        self.provider.start().wait_for_model()
        self.edge = NodeProcess(scratch / "e", *common, "--join", self.provider.address, name="edge")
        stack.callback(self.edge.kill)
        self.edge.start().wait_for_offer(self.provider.peer_id)
        self._client = stack.enter_context(httpx.Client(timeout=60))
        self._asked = 0

    def trip_ms(self) -> float:
        """One short answer. Raises NodeFailed when there was none."""
        self._asked += 1
        messages = [{"role": "user", "content": f"Say {self._asked}."}]
        body = {"model": "model", "messages": messages, "max_tokens": TOKENS, "seed": 1}
        began = time.perf_counter()
        answer = self._client.post(f"{self.edge.url}/v1/chat/completions", json=body)
        if answer.status_code != 200:
            raise NodeFailed(f"HTTP {answer.status_code}: {answer.text[:500]}")
        return (time.perf_counter() - began) * 1000

    def held(self) -> tuple[int, float]:
        """Descriptors and MiB of the provider."""
        return proc.descriptors(self.provider.pid), proc.rss_mib(self.provider.pid)


def measure(victims: Victims, phase: Phase, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        phase.trips.append(victims.trip_ms())


def under(victims: Victims, outcome: Outcome, options: argparse.Namespace) -> None:
    """One calm and one attack."""
    measure(victims, outcome.calm, options.seconds)
    before, limited = victims.held(), limited_by(victims.provider)
    with attacking(outcome.kind, victims.provider, nice=options.nice) as attacker:
        deadline = time.monotonic() + SETTLE_S
        while not shown_of(outcome.kind, victims.provider, limited) and time.monotonic() < deadline:
            victims.trip_ms()  # until the attack has begun: a process takes seconds to start
        cpu, began = proc.cpu_s(victims.provider.pid), time.monotonic()
        measure(victims, outcome.attacked, options.seconds)
        outcome.cpu.append((proc.cpu_s(victims.provider.pid) - cpu) / (time.monotonic() - began))
        outcome.shown = shown_of(outcome.kind, victims.provider, limited)
        if attacker.poll() is not None:
            outcome.broken.append("the attacker ended by itself")
    deadline = time.monotonic() + SETTLE_S
    while (after := victims.held())[0] > before[0] + MORE_DESCRIPTORS and time.monotonic() < deadline:
        time.sleep(0.2)
    outcome.held += [before, after]


def judge(outcome: Outcome, *, ratio: float) -> list[str]:
    """The promises that were broken."""
    broken = [*outcome.broken]
    if outcome.ratio > ratio:
        broken.append(f"the slow end of round trips is {outcome.ratio:.1f} times the calm one")
    (fds, _), (fds_after, _) = outcome.held[0], outcome.held[-1]
    if fds_after > fds + MORE_DESCRIPTORS:
        broken.append(f"from {fds} to {fds_after} descriptors")
    # The first time memory grows by what is loaded and by caches; from then on it is to stay.
    base = outcome.held[1][1] if len(outcome.held) > 2 else outcome.held[0][1]
    if outcome.held[-1][1] > base + MORE_MIB:
        broken.append(f"from {base:.0f} to {outcome.held[-1][1]:.0f} MiB")
    if not outcome.shown:
        broken.append("the node shows nothing of the attacker")
    return broken


def show(console: Console, outcomes: list[Outcome]) -> None:
    table = make_table(
        "Round trips of a chat, ms, calm and attacked in turns",
        *("attack", "calm\np50", "calm\np99", "attacked\np50", "attacked\np99", "ratio\nof p99", "trips"),
        *("node's\nCPU", "descriptors", "MiB", "what the node shows"),
    )
    for each in outcomes:
        held = ["…".join(f"{value:.0f}" for value in (each.held[0][at], each.held[-1][at])) for at in (0, 1)]
        table.add_row(
            each.kind,
            *(f"{value:.0f}" for value in (each.calm.p50, each.calm.p99, each.attacked.p50, each.attacked.p99)),
            f"{each.ratio:.1f}",
            f"{len(each.calm.trips)}, {len(each.attacked.trips)}",
            f"{statistics.mean(each.cpu):.0%}",
            *held,
            each.shown or "nothing",
        )
    console.print(table)


def run(options: argparse.Namespace, console: Console, scratch: Path) -> list[Outcome]:
    outcomes = [Outcome(kind) for kind in options.only or ATTACKS]
    with ExitStack() as stack:
        victims = Victims(scratch, options.model, stack)
        measure(victims, Phase(), 1.0)
        for number in range(options.rounds):
            for outcome in outcomes:
                under(victims, outcome, options)
                said = f"round {number + 1} of {options.rounds}: {outcome.kind}, {outcome.ratio:.1f} times"
                console.print(f"{said}, {outcome.shown or 'nothing shown'}", highlight=False, markup=False)
        codes = {node.name: node.stop() for node in (victims.edge, victims.provider)}
        if any(codes.values()):
            outcomes[-1].broken.append(f"a node did not stop cleanly: {codes}")
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cached = Path(user_cache_dir("peernode")) / "models" / DEMO_MODEL
    parser.add_argument("--model", type=Path, default=Path(os.environ.get("PEERNODE_TEST_MODEL", cached)))
    parser.add_argument("--seconds", type=float, default=10.0, help="of each calm and of each attack")
    parser.add_argument("--rounds", type=int, default=3, help="how often each attack comes")
    parser.add_argument("--nice", type=int, default=19, help="of the attackers: 19 leaves the CPU to the nodes")
    parser.add_argument("--only", action="append", choices=ATTACKS, metavar="KIND", help=", ".join(ATTACKS))
    parser.add_argument("--ratio", type=float, default=WORST_RATIO, help="of the p99 under attack to the calm one")
    parser.add_argument("--json", type=Path, help="write every round trip to this file, too")
    options = parser.parse_args()
    with orderly() as console, tempfile.TemporaryDirectory(prefix="peernode-attacks-") as scratch:
        outcomes = run(options, console, Path(scratch))
        show(console, outcomes)
    broken = [f"{each.kind}: {said}" for each in outcomes for said in judge(each, ratio=options.ratio)]
    for said in broken:
        console.print(f"BROKEN: {said}", highlight=False, markup=False)
    console.print("all promises kept" if not broken else f"{len(broken)} broken")
    if options.json:
        told = [{**asdict(each), "broken": judge(each, ratio=options.ratio)} for each in outcomes]
        options.json.write_text(json.dumps({"attacks": told, "broken": broken}, indent=2) + "\n")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
