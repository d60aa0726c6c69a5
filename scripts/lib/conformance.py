"""The table of what other chat APIs have, checked row by row against an edge whose providers are elsewhere."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
import traceback
from pathlib import Path

import conformance_api
import conformance_failures
import conformance_images
import conformance_internet
import conformance_money
import conformance_operation
import conformance_receipts
import conformance_request
import conformance_routing
import conformance_trust
from conformance_asking import Asker, Row
from conformance_network import start_network
from conformance_strain import come_back
from nodes import NodeProcess

GROUPS = (
    conformance_api,
    conformance_request,
    conformance_images,
    conformance_routing,
    conformance_failures,
    conformance_money,
    conformance_receipts,
    conformance_trust,
    conformance_internet,
    conformance_operation,
)
MARKS = {True: "pass", False: "FAIL", None: "not yet"}


def check(row: Row, asker: Asker) -> tuple[bool | None, str]:
    """Whether it holds (None: nothing checks it yet), and what was seen."""
    if row.check is None:
        return None, row.how
    began = time.monotonic()
    try:
        seen = row.check(asker)
    except Exception as err:  # noqa: BLE001  # whatever goes wrong is a row that failed, and the next one is checked
        return False, f"{type(err).__name__}: {str(err) or _line_of(err)}"[:160]
    return True, f"{row.how}{f': {seen}' if seen else ''} ({time.monotonic() - began:.1f} s)"


def _line_of(err: Exception) -> str:
    """The words of the check that did not hold."""
    return traceback.extract_tb(err.__traceback__)[-1].line or ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file that both providers serve")
    parser.add_argument("rows", type=int, nargs="*", help="only these rows")
    asked = parser.parse_args()
    rows = sorted((row for group in GROUPS for row in group.ROWS.rows), key=lambda row: row.number)
    outcomes: list[bool | None] = []
    nodes: list[NodeProcess] = []
    with tempfile.TemporaryDirectory(prefix="peernode-conformance-") as scratch, contextlib.ExitStack() as stack:
        stack.callback(lambda: [node.kill() for node in nodes])
        edge = start_network(asked.model, Path(scratch), nodes)
        asker = stack.enter_context(Asker(edge, nodes[:2]))
        print(f"\n{'row':>3}  {'feature':<46} {'':<8} how it was checked", flush=True)
        for row in rows:
            if asked.rows and row.number not in asked.rows:
                continue
            held, seen = check(row, asker)
            outcomes.append(held)
            if fallen := [node for node in asker.providers if not node.running]:
                come_back(asker, *fallen)
            print(f"{row.number:>3}  {row.feature:<46.46} {MARKS[held]:<8} {seen}", flush=True)
    counts = {mark: outcomes.count(held) for held, mark in MARKS.items()}
    print("\n" + ", ".join(f"{count} {mark}" for mark, count in counts.items()))
    return 1 if False in outcomes else 2 if None in outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
