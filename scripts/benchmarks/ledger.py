"""What the ledger bears, on one core: receipts made durable, jobs held for and settled, and receipts verified.

A group of jobs is on its way at any time, as in a node that serves that many: what they write meanwhile goes into one
commit, and every write waits for the disk. ``--postgresql`` measures a server of its own beside the SQLite file.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from bench_report import Progress, Samples, bench_parser, make_table, orderly, write_json
from ledger_load import CLIENT, COORDINATOR, PROVIDER, countersigner, receipt_builder
from log_load import BY_PATH, BY_ROOT, Log
from postgres import postgres_server
from rich.console import Console

from peernode.ledger import Books, Database, Event, Holds, Posting, ReceiptStore
from peernode.wire.countersignature import open_countersignature
from peernode.wire.receipt import SignedReceipt, open_receipt

LEAST_RECEIPTS_S = 2000
MADE, TAKEN, GIVEN = (
    "receipts signed and stored",
    "receipts countersigned and booked",
    "countersignatures kept and booked",
)
HOLD, SETTLE, RELEASE = "hold", "countersign and book", "release"
VERIFIED = "receipts verified by both signatures"
HELD = 10_000


class Ledgers:
    """A provider's and a coordinator's ledger, new and empty, with a client that can pay."""

    def __init__(self, place: Callable[[], str | Path], stack: ExitStack) -> None:
        self.databases = {
            who.peer_id: stack.enter_context(closing(Database.open(place(), own=who.peer_id)))
            for who in (PROVIDER, COORDINATOR)
        }
        self.provider, self.coordinator = (ReceiptStore(self.databases[who.peer_id]) for who in (PROVIDER, COORDINATOR))
        self._numbers = itertools.count()
        database = self.coordinator.database
        self.books, self.holds = Books(database), Holds(database)
        self.books.post(Event("grant", "grant", (Posting("granted", -(10**15)), Posting(CLIENT, 10**15)), 1))

    def make(self, count: int, at_once: int) -> tuple[list[SignedReceipt], float]:
        """``count`` receipts, and how many were durable in a second."""
        builders = (receipt_builder(next(self._numbers)) for _ in range(count))
        work = (self.provider.append_soon(build, now_ms=1) for build in builders)
        return _rate(work, at_once)

    def take(self, signed: list[SignedReceipt], at_once: int) -> tuple[list[Any], float]:
        work = (self.coordinator.countersign_soon(each, countersigner(each), now_ms=2) for each in signed)
        return _rate(work, at_once)

    def give(self, made: list[Any], at_once: int) -> tuple[list[None], float]:
        return _rate((self.provider.add_countersignature_soon(each, now_ms=3) for each in made), at_once)

    def job(self, signed: SignedReceipt) -> dict[str, float]:
        """Seconds that each step of a paying client's job waits for the disk."""
        request_id = signed.receipt.request_id
        times = [time.perf_counter()]
        self.holds.hold(request_id, CLIENT, HELD, 1)
        times.append(time.perf_counter())
        self.coordinator.countersign(signed, countersigner(signed), now_ms=2)
        times.append(time.perf_counter())
        self.holds.release(request_id, 3)
        times.append(time.perf_counter())
        return {
            step: after - before
            for step, (before, after) in zip((HOLD, SETTLE, RELEASE), itertools.pairwise(times), strict=True)
        }


def _rate(work: Iterator[Future[Any]], at_once: int) -> tuple[list[Any], float]:
    """What the futures gave, at most ``at_once`` of them open at a time, and how many a second."""
    begun, waiting, done = time.perf_counter(), deque[Future[Any]](), []
    for future in work:
        waiting.append(future)
        if len(waiting) >= at_once:
            done.append(waiting.popleft().result())
    done += [future.result() for future in waiting]
    return done, len(done) / (time.perf_counter() - begun)


def verify(pairs: list[tuple[bytes, bytes]]) -> float:
    """Receipts and their countersignatures checked from their bytes, in a second."""
    begun = time.perf_counter()
    for receipt, countersignature in pairs:
        signed, made = open_receipt(receipt), open_countersignature(countersignature)
        assert made.countersignature.receipt_digest == signed.digest
    return len(pairs) / (time.perf_counter() - begun)


def measure_ledgers(backend: str, places: Callable[[], str | Path], options, samples: Samples) -> None:
    """One round: a provider's receipts through both ledgers, then jobs of a client, many at once."""
    with ExitStack() as stack:
        ledgers = Ledgers(places, stack)
        ledgers.take(ledgers.make(64, options.at_once)[0], options.at_once)  # statements are compiled by now

        def sampled(case: str, run: Callable[[], tuple[list[Any], float]]) -> list[Any]:
            before = time.process_time()
            done, rate = run()
            samples.add(backend, case, rate)
            samples.add(backend, cpu_of(case), (time.process_time() - before) / len(done))
            return done

        signed = sampled(MADE, lambda: ledgers.make(options.receipts, options.at_once))
        made = sampled(TAKEN, lambda: ledgers.take(signed, options.at_once))
        sampled(GIVEN, lambda: ledgers.give(made, options.at_once))
        jobs, _ = ledgers.make(options.jobs, options.at_once)
        with ThreadPoolExecutor(options.at_once) as clients:
            steps = list(clients.map(ledgers.job, jobs))
        for step in (HOLD, SETTLE, RELEASE):
            for seconds in (each[step] for each in steps):
                samples.add(backend, step, seconds)
        ledgers.books.check()


def cpu_of(case: str) -> str:
    return f"cpu {case}"


def measure_verification(options, samples: Samples) -> None:
    pairs, previous = [], bytes(32)
    for number in range(options.verified):
        signed = receipt_builder(number)(number + 1, previous)
        previous = signed.digest
        pairs.append((signed.raw, countersigner(signed)(number + 1).raw))
    for _ in range(options.rounds):
        samples.add("", VERIFIED, verify(pairs))
    log = Log([receipt for receipt, _ in pairs])
    for way, check in ((BY_ROOT, log.by_root), (BY_PATH, log.by_paths)):
        for _ in range(options.rounds):
            begun = time.perf_counter()
            check()
            samples.add("", way, len(pairs) / (time.perf_counter() - begun))


def show(console: Console, samples: Samples, options) -> bool:
    """Prints the tables; True when the bar is kept."""
    backends = sorted({backend for backend, _ in samples.values if backend})
    core = "on one core" if options.one_core else f"on {len(os.sched_getaffinity(0))} cores"
    title = f"{options.at_once} at once, {core}: median of {options.rounds} rounds (least…most)"
    rates = make_table(title, "what", "database", "a second", "CPU µs each\n(without the server)")
    for case, backend in itertools.product((MADE, TAKEN, GIVEN), backends):
        rates.add_row(case, backend, samples.cell(backend, case, 0), samples.cell(backend, cpu_of(case), 0, 1e6))
    console.print(rates)
    waits = make_table(
        f"Milliseconds until durable, {options.at_once} jobs at once", "step", "database", "p50", "p95", "p99"
    )
    for step, backend in itertools.product((HOLD, SETTLE, RELEASE), backends):
        cuts = statistics.quantiles(samples.values[backend, step], n=100)
        waits.add_row(step, backend, *(f"{cuts[at - 1] * 1000:.1f}" for at in (50, 95, 99)))
    console.print(waits)
    checked = make_table(f"Verification of {options.verified} receipts", "how", "a second", "in all, s")
    for way in (VERIFIED, BY_ROOT, BY_PATH):
        rate = statistics.median(samples.values["", way])
        checked.add_row(way, samples.cell("", way, 0), f"{options.verified / rate:.2f}")
    console.print(checked)
    kept = statistics.median(samples.values["sqlite", MADE]) >= LEAST_RECEIPTS_S
    console.print(f"at least {LEAST_RECEIPTS_S} durable receipts a second: {'kept' if kept else 'missed'}")
    return kept


def main() -> None:
    parser = bench_parser(__doc__, rounds=3)
    parser.add_argument("--receipts", type=int, default=10_000, help="in each round")
    parser.add_argument("--at-once", type=int, default=100, help="jobs that are on their way together")
    parser.add_argument("--jobs", type=int, default=2000, help="of paying clients, in each round")
    parser.add_argument("--verified", type=int, default=100_000, help="receipts to verify")
    parser.add_argument("--folder", type=Path, help="where the ledgers are made; the disk there is measured, too")
    parser.add_argument("--postgresql", action="store_true", help="measure PostgreSQL, too")
    parser.add_argument("--all-cores", dest="one_core", action="store_false", help="do not stay on one core")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.receipts, options.jobs, options.verified = 1, 300, 100, 500
    with orderly() as console, ExitStack() as stack:
        samples, numbers = Samples(), itertools.count()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        backends: dict[str, Callable[[], str | Path]] = {"sqlite": lambda: folder / f"{next(numbers)}.db"}
        if options.postgresql:
            backends["postgresql"] = stack.enter_context(postgres_server()).database
        if options.one_core:
            # The server of PostgreSQL, which was started before, keeps the others.
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        progress = Progress(console, options.rounds * len(backends) + 1)
        for number in range(options.rounds):
            for backend, places in backends.items():
                measure_ledgers(backend, places, options, samples)
                progress(f"round {number + 1}: {backend}: {samples.values[backend, MADE][-1]:.0f} receipts/s")
        measure_verification(options, samples)
        progress("verified")
        kept = show(console, samples, options)
        write_json(options.json, "ledger", options, samples)
    sys.exit(0 if kept or options.quick else 1)


if __name__ == "__main__":
    main()
