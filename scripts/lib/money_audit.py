"""Whether the ledgers of a coordinator and its providers agree: receipts, totals, books and logs, from their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from peernode.errors import PeernodeError
from peernode.ledger import Books, Database, ReceiptRecord, ReceiptStore
from peernode.ledger.events import owed, owes
from peernode.ledger.log_verification import verify_log
from peernode.ledger.open_jobs import GIVEN_UP
from peernode.ledger.open_jobs_schema import open_jobs

MANY = 100_000


@dataclass
class Side:
    """One node's ledger as it stands: its countersigned receipts by digest, and what it has with each peer."""

    peer: str
    receipts: dict[bytes, ReceiptRecord]
    balances: Mapping[str, int]
    open: int
    faults: list[str] = field(default_factory=list)

    def with_peer(self, other: str) -> dict[bytes, bytes]:
        """Countersignatures of receipts between the two, by the receipt's digest."""
        found = {}
        for digest, record in self.receipts.items():
            receipt = record.receipt.receipt
            if {receipt.coordinator, receipt.provider} == {self.peer, other} and record.countersignature:
                found[digest] = record.countersignature.raw
        return found


def read_side(home: Path, peer: str) -> Side:
    """Of the node in ``home``, which may be running."""
    with _opened(home, peer) as database:
        store, books = ReceiptStore(database), Books(database)
        faults = []
        for check in (books.check, lambda: verify_log(database, whole=True)):
            try:
                check()
            except PeernodeError as err:
                faults.append(str(err))
        with database.reader() as db:
            rows = db.execute(open_jobs.select().where(open_jobs.c.node == peer)).all()
        return Side(
            peer,
            {record.receipt.digest: record for record in store.list(limit=MANY) if record.countersignature},
            dict(books.balances("peer:")),
            sum(row.state != GIVEN_UP for row in rows),
            faults,
        )


def disagreements(edge: Side, providers: list[Side]) -> list[str]:
    """Everything in which the coordinator's ledger differs from those of its providers."""
    found = [f"{side.peer[-6:]}: {fault}" for side in (edge, *providers) for fault in side.faults]
    for provider in providers:
        ours, theirs = edge.with_peer(provider.peer), provider.with_peer(edge.peer)
        name = provider.peer[-6:]
        if ours.keys() != theirs.keys():
            found.append(f"{name}: {len(ours.keys() - theirs.keys())} receipts only at the coordinator, ")
            found[-1] += f"{len(theirs.keys() - ours.keys())} only at the provider"
        elif ours != theirs:
            found.append(f"{name}: a countersignature differs")
        paid = sum(edge.receipts[digest].receipt.receipt.credits for digest in ours)
        debts = {
            "receipts": paid,
            "coordinator": -edge.balances.get(owed(provider.peer), 0),
            "provider": provider.balances.get(owes(edge.peer), 0),
        }
        if len(set(debts.values())) != 1:
            found.append(f"{name}: micro-credits differ: {debts}")
        found += [f"{side.peer[-6:]}: {side.open} parts are open" for side in (provider,) if side.open]
    if edge.open:
        found.append(f"{edge.peer[-6:]}: {edge.open} parts are open at the coordinator")
    return found


def missing(seen: Mapping[str, str], sides: list[Side]) -> list[str]:
    """Receipts that clients were told of (digest by request id) and that not both parties hold countersigned."""
    found = []
    for request_id, digest in seen.items():
        holders = {side.peer for side in sides if bytes.fromhex(digest) in side.receipts}
        record = next((s.receipts[bytes.fromhex(digest)] for s in sides if bytes.fromhex(digest) in s.receipts), None)
        if record is None:
            found.append(f"{request_id}: nobody holds its receipt")
        elif holders != {record.receipt.receipt.coordinator, record.receipt.receipt.provider}:
            found.append(f"{request_id}: only {len(holders)} of its parties hold its receipt")
    return found


def held(home: Path, peer: str) -> int:
    """Micro-credits that are set aside for clients' requests."""
    with _opened(home, peer) as database:
        return sum(Books(database).balances("held:").values())


@contextmanager
def _opened(home: Path, peer: str) -> Iterator[Database]:
    database = Database.open_readonly(home / "ledger.db", own=peer)
    try:
        yield database
    finally:
        database.close()
