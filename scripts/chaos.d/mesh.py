"""A mesh of real nodes under kill -9, frozen processes, restarts and cut paths, and then cut in two halves and healed.

Each node lives in a network namespace of its own. Watched all the while: nobody who can be reached is missing from
any table for long, nobody who cannot stays in one past the lease, no process dies or complains by itself, and tasks,
descriptors and memory do not grow. Needs root.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bench_report import make_table, orderly
from chaos_network import ChaosNetwork, ChaosNode, wait_until
from chaos_plan import Trouble, make_plan
from chaos_watch import Watch
from namespaces import Internet, NoNamespaces
from rich.console import Console

# A lease of 15 s is never shortened by more than half on its way, and what hands it on is asked once a second.
GHOST_S = 22.5 + 2.5
LOOK_EVERY_S = 1.0
TICK_S = 0.1
SETTLE_S = 20.0
# What a node may need more at the end than the neediest did at the start: connections come and go.
GROWTH = {"tasks": (1.5, 30.0), "descriptors": (1.5, 15.0), "MiB": (1.0, 40.0)}


@dataclass
class Run:
    """One run: what was done and what came of it."""

    network: ChaosNetwork
    watch: Watch
    console: Console
    done: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    figures: dict[str, float | None] = field(default_factory=dict)
    _looks: dict[int, Future[bytes]] = field(default_factory=dict)
    _up: set[int] = field(default_factory=set)

    def set_up(self, node: ChaosNode) -> None:
        self._up.add(node.number)
        self.watch.up(node.number, time.monotonic())

    def set_down(self, node: ChaosNode) -> None:
        self._up.discard(node.number)
        self._looks.pop(node.number, None)
        self.watch.down(node.number, time.monotonic())

    def look(self, *, ask: bool) -> None:
        """Take in the tables that have arrived; with ``ask``, ask again whoever has answered."""
        for node in self.network.nodes:
            asked = self._looks.get(node.number)
            if asked is not None and asked.done():
                del self._looks[node.number]
                if asked.exception() is None:
                    self.watch.saw(node.number, self.network.table(asked.result()), time.monotonic())
                else:
                    self.broken.append(f"node {node.number} did not tell its peers: {asked.exception()}")
            if ask and node.number in self._up and node.number not in self._looks:
                self._looks[node.number] = node.ask("/admin/peers")

    def all_well(self) -> bool:
        """True when all tables are complete."""
        return self.watch.complete(self.network.tables())

    def check_alive(self, resting: set[int]) -> None:
        for node in self.network.nodes:
            if node.number not in resting and not node.process.running:
                raise SystemExit(f"node {node.number} died by itself: {node.complaints[-3:]}")

    def keep_complaints(self, node: ChaosNode) -> None:
        self.complaints += [f"node {node.number}: {said}" for said in node.complaints]

    def troubles(self, plan: list[Trouble], seconds: float) -> None:
        """Carry the plan out while looking at every table about once a second."""
        began = time.monotonic()
        waiting, running, starting = [*plan], list[Trouble](), set[int]()
        next_look_s = next_word_s = 0.0
        while (now_s := time.monotonic() - began) < seconds or running or starting:
            while waiting and waiting[0].at_s <= now_s:
                self._begin(trouble := waiting.pop(0))
                running.append(trouble)
            for trouble in [each for each in running if each.at_s + each.lasts_s <= now_s]:
                running.remove(trouble)
                node = self.network.nodes[trouble.node]
                self.network.end(trouble.kind, node)
                if trouble.kind == "kill":
                    starting.add(node.number)
                else:
                    self.set_up(node)
            for number in [each for each in starting if self.network.nodes[each].ready]:
                starting.discard(number)
                self.set_up(self.network.nodes[number])
            self.check_alive({trouble.node for trouble in running if trouble.kind == "kill"})
            self.look(ask=now_s >= next_look_s)
            if now_s >= next_look_s:
                next_look_s = now_s + LOOK_EVERY_S
            if now_s >= next_word_s:
                next_word_s = now_s + 10.0
                self._say(f"{now_s:.0f} of {seconds:.0f} s: {len(running)} troubles now, {self._said()}")
            time.sleep(TICK_S)

    def _begin(self, trouble: Trouble) -> None:
        node = self.network.nodes[trouble.node]
        self.done[trouble.kind] += 1
        if trouble.kind == "kill":
            self.keep_complaints(node)
        self.set_down(node)  # before: an answer that is under way says nothing of afterwards
        self.network.begin(trouble.kind, node)

    def halves(self, seconds: float, *, heal_s: float) -> None:
        """Cut the network in two for ``seconds``; ``figures`` then has how long it took to heal."""
        self._say(f"cutting the network in two halves for {seconds:.0f} s")
        self.network.split()
        sides = [[node.number for node in self.network.nodes if node.half == half] for half in (0, 1)]
        self.watch.split(sides, time.monotonic())
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.look(ask=True)
            self.check_alive(set())
            time.sleep(LOOK_EVERY_S)
        self.network.split(heal=True)
        self.watch.split([range(self.watch.nodes)], time.monotonic())
        took = wait_until(self.all_well, within_s=max(60.0, 2 * heal_s))
        self.figures["healed_s"] = took
        if took is None or took > heal_s:
            self.broken.append(f"the halves needed {'over a minute' if took is None else f'{took:.1f} s'} to heal")
        self._say(f"healed after {took} s")

    def measures(self) -> dict[int, dict[str, float]]:
        return {node.number: node.measures() for node in self.network.nodes}

    def check_growth(self, before: dict[int, dict[str, float]], after: dict[int, dict[str, float]]) -> None:
        for name, (factor, more) in GROWTH.items():
            most = max(each[name] for each in before.values()) * factor + more
            for number, each in after.items():
                if each[name] > most:
                    self.broken.append(f"node {number} has {each[name]:.0f} {name} at the end, over {most:.0f}")

    def _said(self) -> str:
        return f"missing at most {self.watch.worst_missing_s:.1f} s, ghosts {self.watch.worst_ghost_s:.1f} s"

    def _say(self, text: str) -> None:
        self.console.print(f"{time.strftime('%H:%M:%S')} {text}", highlight=False)


def run(options: argparse.Namespace, console: Console, scratch: Path) -> Run:
    with ExitStack() as stack:
        internet = stack.enter_context(Internet())
        network = ChaosNetwork(internet, options.nodes, scratch, lambda text: console.print(text, highlight=False))
        stack.callback(network.close)
        network.start(timeout_s=60.0 + 10.0 * options.nodes)
        this = Run(network, Watch(options.nodes, options.grace, GHOST_S), console)
        for node in network.nodes:
            this.set_up(node)
        took = wait_until(this.all_well, within_s=60.0)
        if took is None:
            raise SystemExit("the nodes did not all find each other within a minute")
        console.print(f"all {options.nodes} nodes know each other after {took:.1f} s")
        time.sleep(options.settle)
        before = this.measures()
        quiet_from = time.monotonic()
        time.sleep(options.settle)
        idle = this.measures()
        spent = [idle[number]["cpu_s"] - before[number]["cpu_s"] for number in before]
        this.figures["idle_core_percent"] = statistics.median(spent) / (time.monotonic() - quiet_from) * 100
        this.watch.worst_missing_s = 0.0
        plan = make_plan(options.seed, nodes=options.nodes, seconds=options.seconds, pause_s=options.pause)
        this.troubles(plan, options.seconds)
        took = wait_until(this.all_well, within_s=60.0)
        this.figures["recovered_s"] = took
        if took is None:
            this.broken.append("a minute after the last trouble some table was not complete")
        if options.split:
            this.halves(options.split, heal_s=options.heal)
        time.sleep(options.settle)
        after = this.measures()
        this.check_growth(before, after)
        for node in network.nodes:
            this.keep_complaints(node)
        show(console, this, before, after)
    this.broken += this.watch.broken + [f"a complaint: {said}" for said in this.complaints]
    return this


def show(console: Console, this: Run, before: dict[int, dict[str, float]], after: dict[int, dict[str, float]]) -> None:
    table = make_table("What a node holds", "", "at the start, most", "at the end, most", "at the end, median")
    for name in GROWTH:
        late = [each[name] for each in after.values()]
        most = max(each[name] for each in before.values())
        table.add_row(name, f"{most:.0f}", f"{max(late):.0f}", f"{statistics.median(late):.0f}")
    console.print(table)
    done = ", ".join(f"{count} × {kind}" for kind, count in sorted(this.done.items())) or "none"
    console.print(f"troubles: {done}; {this.watch.looks} tables looked at")
    console.print(
        f"missing for at most {this.watch.worst_missing_s:.1f} s; in a table for at most "
        f"{this.watch.worst_ghost_s:.1f} s after it could not be reached"
    )
    for name, value in this.figures.items():
        console.print(f"{name}: {'never' if value is None else f'{value:.2f}'}", highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=600.0, help="of troubles")
    parser.add_argument("--seed", type=int, default=1, help="decides what happens to whom and when")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds from one trouble to the next, on average")
    parser.add_argument("--split", type=float, default=60.0, help="seconds that the network is cut in two; 0 for not")
    parser.add_argument("--grace", type=float, default=5.0, help="seconds that a live node may be missing")
    parser.add_argument("--heal", type=float, default=10.0, help="seconds that the halves may need to find together")
    parser.add_argument("--settle", type=float, default=SETTLE_S, help="seconds of rest before counting anything")
    parser.add_argument("--json", type=Path, help="write figures and broken promises to this file, too")
    options = parser.parse_args()
    with orderly() as console, tempfile.TemporaryDirectory(prefix="peernode-chaos-") as scratch:
        try:
            this = run(options, console, Path(scratch))
        except NoNamespaces as err:
            raise SystemExit(f"error: {err}") from None
    for said in this.broken:
        console.print(f"BROKEN: {said}", highlight=False, markup=False)
    console.print(f"seed {options.seed}: {'all promises kept' if not this.broken else f'{len(this.broken)} broken'}")
    if options.json:
        content = {"figures": this.figures, "broken": this.broken, "troubles": dict(this.done)}
        content["worst_missing_s"], content["worst_ghost_s"] = this.watch.worst_missing_s, this.watch.worst_ghost_s
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    sys.exit(1 if this.broken else 0)


if __name__ == "__main__":
    main()
