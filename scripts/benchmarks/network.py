"""Whole answers over HTTP: one client beside eight, and straight from the provider beside through another node.

Real processes on loopback, alternating rounds in one run, medians and ratios. The prompt differs from request to
request, so that nothing is answered from a cache.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from load import Round, run_round
from nodes import NodeProcess

MODEL_ID = "demo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=96)
    options = parser.parse_args()
    console = Console(width=100)
    nodes: list[NodeProcess] = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            provider = NodeProcess(
                Path(scratch) / "provider", "--model", f"{MODEL_ID}={options.model}", name="provider"
            )
            nodes.append(provider)
            provider.start()
            edge = NodeProcess(Path(scratch) / "edge", "--join", provider.address, name="edge")
            nodes.append(edge)
            edge.start()
            edge.wait_for_offer(provider.peer_id)
            routes = {"straight from the provider": provider.url, "through another node": edge.url}
            cases = {(name, clients): list[Round]() for name in routes for clients in (1, 8)}
            run_round(edge.url, MODEL_ID, clients=1, tokens=8, salt=999, temperature=1.0)
            for number in range(options.rounds):
                for (name, clients), rounds in cases.items():
                    rounds.append(
                        run_round(
                            routes[name],
                            MODEL_ID,
                            clients=clients,
                            tokens=options.tokens,
                            salt=number * 10 + clients,
                            temperature=1.0,
                        )
                    )
                    console.print(f"round {number + 1}: {name}, {clients} clients: {rounds[-1].rate:.1f} tokens/s")
        finally:
            for node in nodes:
                node.kill()
    show(console, cases)


def show(console: Console, cases: dict[tuple[str, int], list[Round]]) -> None:
    table = Table(title="Answers over HTTP, medians")
    for column in ("route", "clients", "tokens/s", "× one client", "× straight", "first token, ms"):
        table.add_column(column, justify="left" if column == "route" else "right")
    rates = {case: statistics.median(each.rate for each in rounds) for case, rounds in cases.items()}
    for (name, clients), rounds in cases.items():
        first_ms = 1000 * statistics.median(second for each in rounds for second in each.first_token_s)
        table.add_row(
            name,
            str(clients),
            f"{rates[name, clients]:.1f}",
            f"{rates[name, clients] / rates[name, 1]:.2f}",
            f"{rates[name, clients] / rates['straight from the provider', clients]:.3f}",
            f"{first_ms:.0f}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
