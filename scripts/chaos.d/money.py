"""kill -9 of a coordinator or its providers at random moments of a running load of real jobs, and whose money is gone.

An edge without a model, two providers with the real one, and clients with a key of the edge. After every few kills the
load rests, recovery brings home what is missing, and then the ledgers of all nodes must agree to the micro-credit: the
same countersigned receipts, the same totals, books and logs that check from their first entry, no part open, nothing
held. Every receipt that a client was told of must be with both its parties. One --seed replays the plan of the kills.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bench_report import DEMO_MODEL, make_table, orderly
from failover_network import NO_HEDGE, FailoverNetwork
from money_audit import Side, disagreements, held, missing, read_side
from money_load import Client, Seen
from nodes import NodeFailed, NodeProcess
from platformdirs import user_cache_dir
from rich.console import Console

KILLS, CLIENTS, BETWEEN_AUDITS = 200, 4, 20
EDGE_SHARE = 0.5
LEAST_S, MOST_S = 0.5, 6.0
REST_S, SETTLE_S = 120.0, 90.0
CREDITS = 1_000_000
LOG_LINES = 15


@dataclass
class Audit:
    """What was found after ``kills`` kills; ``settled_s`` is how long recovery took."""

    kills: int
    answers: int
    receipts: int
    lost_parts: int
    credits: int
    settled_s: float
    broken: list[str] = field(default_factory=list)


class Money:
    """The network under load. ``strike`` kills and restarts one node; ``audit`` rests and compares."""

    def __init__(self, network: FailoverNetwork, rng: random.Random, *, clients: int, seed: int) -> None:
        self._network = network
        self._rng = rng
        self.killed: Counter[str] = Counter()
        self.seen = Seen()
        key = make_key(network.edge)
        self._clients = [Client(number, network.edge, key, self.seen, seed=seed) for number in range(clients)]
        for client in self._clients:
            client.start()

    def strike(self) -> str:
        """kill -9 at a random moment; returns who it was, when it is up again."""
        wait_s = self._rng.uniform(LEAST_S, MOST_S)
        edge = self._rng.random() < EDGE_SHARE
        victim = self._network.edge if edge else self._rng.choice(self._network.providers)
        time.sleep(wait_s)
        if edge:
            victim.listen = "/".join(victim.address.split("/")[:5])
        victim.kill()
        victim.start()
        if not edge:
            victim.wait_for_model()
        self.killed[victim.name] += 1
        return victim.name

    def audit(self) -> Audit:
        """Let the load rest, wait for recovery, compare."""
        for client in self._clients:
            client.resting.set()
        deadline = time.monotonic() + REST_S
        for client in self._clients:
            client.idle.wait(max(deadline - time.monotonic(), 0))
        began = time.monotonic()
        while (broken := self._faults(sides := self._sides())) and time.monotonic() < began + SETTLE_S:
            time.sleep(0.5)
        receipts = [record.receipt.receipt for record in sides[0].receipts.values()]
        audit = Audit(
            sum(self.killed.values()),
            self.seen.whole,
            len(receipts),
            sum(receipt.finish_reason == "lost" for receipt in receipts),
            sum(receipt.credits for receipt in receipts),
            time.monotonic() - began,
            broken,
        )
        for client in self._clients:
            client.resting.clear()
        return audit

    def end(self) -> None:
        for client in self._clients:
            client.over = True

    def _sides(self) -> list[Side]:
        return [read_side(node.home, node.peer_id) for node in self._network.nodes]

    def _faults(self, sides: list[Side]) -> list[str]:
        edge, *providers = sides
        faults = disagreements(edge, providers) + missing(dict(self.seen.receipts), sides)
        if left := held(self._network.edge.home, edge.peer):
            faults.append(f"{left} micro-credits are still held for clients")
        return faults


def make_key(edge: NodeProcess) -> str:
    """A client's key at the edge, with more credits than it can spend."""
    command = [sys.executable, "-m", "peernode", "keys", "create", "chaos", "--credits", str(CREDITS), "--json"]
    done = subprocess.run([*command, "--home", str(edge.home)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NodeFailed(f"no key could be made: {done.stderr}")
    return next(value for value in json.loads(done.stdout).values() if str(value).startswith("sk-pn-"))


def run(options: argparse.Namespace, console: Console, scratch: Path) -> tuple[list[Audit], Counter[str], Seen]:
    network = FailoverNetwork(scratch, options.model, edge_config=NO_HEDGE)
    audits: list[Audit] = []
    try:
        network.start()
        money = Money(network, random.Random(options.seed), clients=options.clients, seed=options.seed)
        for number in range(1, options.kills + 1):
            name = money.strike()
            said = f"kill {number} of {options.kills}: {name}; {money.seen.whole} answers, {money.seen.broken} broken"
            console.print(said, highlight=False)
            if number % options.every == 0 or number == options.kills:
                audits.append(audit := money.audit())
                verdict = "; ".join(audit.broken) or "all ledgers agree"
                console.print(f"after {audit.settled_s:.1f} s: {verdict}", highlight=False, markup=False)
                if audit.broken:
                    for node in network.nodes:
                        for line in [line for line in node.log if "part" in line.get("event", "")][-LOG_LINES:]:
                            console.print(f"{node.name}: {json.dumps(line)}", highlight=False, markup=False)
        money.end()
        return audits, money.killed, money.seen
    finally:
        network.kill()


def show(console: Console, audits: list[Audit]) -> None:
    table = make_table(
        "Ledgers after kill -9",
        *("kills", "answers", "receipts", "of parts that\nbroke off", "micro-credits", "agreed\nafter, s", "faults"),
    )
    for each in audits:
        table.add_row(
            str(each.kills),
            str(each.answers),
            str(each.receipts),
            str(each.lost_parts),
            str(each.credits),
            f"{each.settled_s:.1f}",
            str(len(each.broken)),
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cached = Path(user_cache_dir("peernode")) / "models" / DEMO_MODEL
    parser.add_argument("--model", type=Path, default=Path(os.environ.get("PEERNODE_TEST_MODEL", cached)))
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--every", type=int, default=BETWEEN_AUDITS, help="kills between two audits")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write every audit to this file, too")
    options = parser.parse_args()
    with orderly() as console, tempfile.TemporaryDirectory(prefix="peernode-money-") as scratch:
        audits, killed, seen = run(options, console, Path(scratch))
        show(console, audits)
    broken = [said for each in audits for said in each.broken]
    for said in broken:
        console.print(f"BROKEN: {said}", highlight=False, markup=False)
    console.print("all promises kept" if not broken else f"{len(broken)} broken")
    if options.json:
        told = {"audits": [asdict(each) for each in audits], "killed": dict(killed), "answers": seen.whole}
        options.json.write_text(json.dumps({**told, "broken": broken}, indent=2) + "\n")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
