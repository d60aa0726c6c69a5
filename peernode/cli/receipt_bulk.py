"""Checking receipts by the thousand: on all cores, with progress, and a tally in the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Self

from peernode.market.billing import Check
from peernode.market.bulk_verification import Entry, Fact, Verdict, check_log, contradictions, verify_each

if TYPE_CHECKING:
    from rich.progress import Progress

    from peernode.wire.checkpoint import Checkpoint

# What one process checks at a time, and how many receipts it takes before others are worth their start.
CHUNK = 500
ALONE = 2000

Named = tuple[str, Entry]


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that failed, and of what: a file, perhaps its line, or a request id."""

    where: str
    check: Check


@dataclass(slots=True)
class Tally:
    """What was checked. ``logs`` were held against the root that their provider signed."""

    receipts: int = 0
    countersigned: int = 0
    proofs: int = 0
    logs: int = 0
    failures: list[Failure] = field(default_factory=list)


class BulkCheck:
    """Takes receipts until ``finish``. Use it in a ``with``."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._facts: dict[Fact, str] = {}
        self._pool: ProcessPoolExecutor | None = None
        self._progress = _progress()

    def __enter__(self) -> Self:
        self._progress.start()
        self._task = self._progress.add_task("receipts", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def fail(self, where: str, check: Check) -> None:
        self.tally.failures.append(Failure(where, check))

    def receipts(self, named: Iterable[Named], checkpoint: Checkpoint | None = None) -> None:
        """Check receipts by what they are called; all of one log also against its ``checkpoint``."""
        entries, facts = iter(named), list[Fact]()
        while batch := list(islice(entries, self._batch())):
            for (where, (_, made)), verdict in zip(batch, self._verdicts([entry for _, entry in batch]), strict=True):
                self.tally.receipts += 1
                self.tally.countersigned += made is not None
                for check in verdict.failed[:1]:
                    self.fail(where, check)
                if verdict.fact is not None:
                    self._facts[verdict.fact] = where
                    facts.append(verdict.fact)
            self._progress.update(self._task, completed=self.tally.receipts)
        root = check_log(facts, checkpoint) if checkpoint is not None else None
        if checkpoint is not None and root is not None:
            self.tally.logs += 1
            if not root.passed:
                self.fail(checkpoint.peer, root)

    def finish(self) -> Tally:
        """Hold all receipts against each other."""
        for fact, check in contradictions(list(self._facts)):
            self.fail(self._facts[fact], check)
        return self.tally

    def _batch(self) -> int:
        return CHUNK if self.tally.receipts < ALONE else CHUNK * 4 * (os.cpu_count() or 1)

    def _verdicts(self, entries: list[Entry]) -> Iterator[Verdict]:
        if len(entries) <= CHUNK:
            return iter(verify_each(entries))
        if self._pool is None:
            self._pool = ProcessPoolExecutor()
        chunks = [entries[at : at + CHUNK] for at in range(0, len(entries), CHUNK)]
        return (verdict for chunk in self._pool.map(verify_each, chunks) for verdict in chunk)


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
