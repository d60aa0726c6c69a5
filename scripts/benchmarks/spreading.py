"""Rounds until a change is known to every node, beside twice the logarithm of the network's size.

A simulation in virtual time over the node's own sync, directory and choice of neighbours (scripts/lib/spreading.py);
the numbers depend on the seed and not on the machine. Two thousand nodes take minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
import structlog
from bench_report import make_table, orderly
from spreading import Spread, simulate

SIZES = (50, 200, 1000, 2000)


def show(spreads: list[Spread]) -> object:
    """The table of what was simulated."""
    table = make_table(
        "Rounds (s) until everybody knows a change",
        "nodes",
        "neighbours",
        "first",
        "worst",
        "allowed: 2 log2 n",
    )
    for each in spreads:
        first, worst = (f"{rounds:.1f}" for rounds in (each.rounds[0], max(each.rounds)))
        table.add_row(str(each.nodes), f"{each.degree:.1f}", first, worst, f"{each.allowed:.1f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="not used")
    parser.add_argument("--nodes", type=int, action="append", help="sizes instead of 50, 200, 1000 and 2000")
    parser.add_argument("--changes", type=int, default=4, help="one after the other, each once known to all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    spreads = []
    with orderly() as console:
        for nodes in (24,) if options.quick else options.nodes or SIZES:
            spreads.append(simulate(nodes, changes=options.changes, seed=options.seed))
            console.print(f"{nodes} nodes: {', '.join(f'{rounds:.1f}' for rounds in spreads[-1].rounds)} rounds")
        console.print(show(spreads))
    if options.json:
        options.json.write_text(json.dumps([vars(each) for each in spreads], indent=1) + "\n")
    sys.exit(any(max(each.rounds) > each.allowed for each in spreads))


if __name__ == "__main__":
    main()
