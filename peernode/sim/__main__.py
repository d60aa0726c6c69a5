"""Simulate networks and compare policies of routing: tables on the terminal, and with --out tables, figures and plots.

One seed replays a run to the last event.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from peernode.errors import PeernodeError
from peernode.sim.network import Network
from peernode.sim.plots import plot
from peernode.sim.policies import POLICIES
from peernode.sim.results import Report, Result
from peernode.sim.scenario import COORDINATORS, SCENARIOS, Scenario, scenario_of
from peernode.sim.tables import markdown_of, table_of

MOST_NODES = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    options = _parser().parse_args(arguments)
    console = Console(width=max(160, Console().width))
    try:
        reports = []
        for name in options.scenario or ["mixed"]:
            scenario = scenario_of(
                name,
                nodes=options.nodes,
                seconds=options.seconds,
                load=options.load,
                seed=options.seed,
                coordinators=options.coordinators,
            )
            report = simulate(scenario, options.policies or list(POLICIES), console)
            reports.append(report)
            console.print(table_of(report))
            for said in report.findings():
                console.print(f"  {said}")
        if options.out:
            _write(reports, options.out)
            console.print(f"{options.out}: {', '.join(path.name for path in plot(reports, options.out))}")
    except PeernodeError as err:
        console.print(f"error: {err}")
        return 1
    return 0


def simulate(scenario: Scenario, policies: Sequence[str], console: Console | None = None) -> Report:
    """One run for each policy."""
    results = []
    for policy in policies:
        began = time.monotonic()
        result = Result.of(policy, Network(scenario, POLICIES[policy]).run())
        results.append(result)
        if console is not None:
            took_s = time.monotonic() - began
            console.print(f"{scenario.name}, {policy}: {result.asked} requests counted, {took_s:.0f} s", style="dim")
    return Report(scenario, tuple(results))


def _write(reports: Sequence[Report], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(report.to_fields()) for report in reports)
    (folder / "results.json").write_text(f"[\n{lines}\n]\n")
    (folder / "tables.md").write_text("\n\n".join(markdown_of(report) for report in reports) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m peernode.sim", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--nodes", type=_nodes, default=200, help=f"providers, up to {MOST_NODES}")
    parser.add_argument("--coordinators", type=int, default=COORDINATORS, help="nodes that are asked by clients")
    parser.add_argument("--seconds", type=float, default=90.0, help="simulated; the first third warms up")
    parser.add_argument("--load", type=float, default=0.8, help="arriving work as a share of what all nodes can do")
    parser.add_argument("--seed", type=int, default=1)
    described = "; ".join(f"{name}: {said}" for name, (said, _) in SCENARIOS.items())
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help=described)
    parser.add_argument("--policies", action="append", choices=list(POLICIES), help="all, unless some are named")
    parser.add_argument("--out", type=Path, help="a folder for results.json, tables.md and plots")
    return parser


def _nodes(text: str) -> int:
    nodes = int(text)
    if not 2 <= nodes <= MOST_NODES:
        raise argparse.ArgumentTypeError(f"from 2 to {MOST_NODES}")
    return nodes


if __name__ == "__main__":
    sys.exit(main())
