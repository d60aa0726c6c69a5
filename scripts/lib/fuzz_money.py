"""A million forgeries of what is signed about money, and replays of what is genuine: none may be taken in."""

from __future__ import annotations

import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import structlog
from money_mutations import run
from money_objects import exhibits
from money_replays import Ledgers
from mutations import Broken
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

MUTATIONS, SEED = 1_000_000, 1
CHUNK = 5_000
# One of so many is brought to real ledgers.
REPLAY_SHARE = 250

Ends = Counter[tuple[str, str, str]]


def main() -> int:
    """Print how the forgeries ended; 1 if one was taken in."""
    mutations, seed = (int(value) for value in [*sys.argv[1:3], *(str(MUTATIONS), str(SEED))[len(sys.argv[1:3]) :]])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    started, ends = time.monotonic(), Ends()
    try:
        for exhibit in exhibits():
            exhibit.take(exhibit.raw)
        with _progress() as progress:
            task = progress.add_task("forgeries", total=mutations)
            for some in _all(mutations, seed):
                ends.update(some)
                progress.update(task, completed=ends.total())
    except Broken as broken:
        sys.stdout.write(f"BROKEN: {broken}\n")
        return 1
    _print(ends)
    sys.stdout.write(f"{ends.total()} forgeries in {time.monotonic() - started:.0f} s, seed {seed}: none accepted\n")
    return 0


def _all(mutations: int, seed: int) -> Iterator[Ends]:
    replays = mutations // REPLAY_SHARE
    forgeries = mutations - replays
    chunks = [CHUNK] * (forgeries // CHUNK) + [forgeries % CHUNK]
    # The same seed makes the same forgeries on any number of cores.
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        yield from pool.map(_forge, chunks, range(len(chunks)), repeat(seed))
    with tempfile.TemporaryDirectory() as folder:
        ledgers, rng = Ledgers(Path(folder)), random.Random(seed)
        try:
            for at in range(0, replays, 100):
                yield ledgers.play(min(100, replays - at), rng)
        finally:
            ledgers.close()


def _forge(rounds: int, number: int, seed: int) -> Ends:
    return run(exhibits(), rounds, seed * 1_000_003 + number)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _print(ends: Ends) -> None:
    """A row for each kind and forgery, with the refusals it met."""
    table = Table("what", "how", "times", "refused as", box=None, pad_edge=False, header_style="bold")
    rows: dict[tuple[str, str], Counter[str]] = {}
    for (kind, how, code), times in ends.items():
        rows.setdefault((kind, how), Counter())[code] += times
    for (kind, how), codes in sorted(rows.items()):
        table.add_row(
            kind, how, str(codes.total()), ", ".join(f"{code} {times}" for code, times in codes.most_common())
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    sys.exit(main())
