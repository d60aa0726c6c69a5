"""schemathesis over the OpenAPI document of a real node with a random model: all checks, seeded, a row an operation."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import structlog
from api_cases import Cases
from api_node import ApiNode
from rich.console import Console
from rich.table import Table

CASES, SEED = 5_000, 1


def main() -> int:
    """Print what came of every operation; 1 if a check failed, or the node is no longer well."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz api", description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ApiNode(Path(folder)) as node:
        cases = Cases(node)
        cases.run(asked.cases, asked.seed)
        defects = node.defects()
        alive = node.is_alive()
    _print(cases)
    for number, failure in enumerate(cases.failures[:200], 1):
        sys.stdout.write(f"\n{number}. {failure}\n")
    for defect in defects:
        sys.stdout.write(f"\nthe node's log: {defect}\n")
    took = f"{time.monotonic() - started:.0f} s, seed {asked.seed}"
    sys.stdout.write(
        f"{cases.total} cases, {len(cases.failures)} failures, node {'alive' if alive else 'DEAD'}; {took}\n"
    )
    return 0 if alive and not cases.failures and not defects and cases.total >= asked.cases else 1


def _print(cases: Cases) -> None:
    table = Table(title="schemathesis, all checks")
    named = (400, 401, 404, 405)
    for column in ("operation", "cases", "2xx", "3xx", *map(str, named), "4xx", "5xx", "failures"):
        table.add_column(column, justify="left" if column == "operation" else "right")
    for label, statuses in sorted(cases.statuses.items()):
        hundreds = Counter[int]()
        for status, count in statuses.items():
            hundreds[status // 100] += 0 if status in named else count
        counts = [hundreds[2], hundreds[3], *(statuses[status] for status in named), hundreds[4], hundreds[5]]
        failed = sum(failure.startswith(f"{label}\n") for failure in cases.failures)
        table.add_row(label, *(str(count) if count else "" for count in (statuses.total(), *counts, failed)))
    Console(width=130).print(table)
    fives = sum((statuses for statuses in cases.statuses.values()), Counter())
    sys.stdout.write(f"5xx: {({at: count for at, count in sorted(fives.items()) if at >= 500}) or 'none'}\n")


if __name__ == "__main__":
    sys.exit(main())
