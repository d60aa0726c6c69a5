"""Two ledgers, and what they should hold, kept without a database: compared after every operation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, select

from peernode.ledger import Books, Database
from peernode.ledger.events import client, held, owed, owes
from peernode.ledger.holds import Holds
from peernode.ledger.schema import countersignatures, events, receipts
from peernode.ledger.store import ReceiptStore
from peernode.wire.receipt import SignedReceipt
from tests.samples import COORDINATOR, PROVIDER

OWED, OWES = owed(PROVIDER.peer_id), owes(COORDINATOR.peer_id)


@dataclass(frozen=True)
class Parties:
    """The two ledgers; in PostgreSQL they may be one database."""

    coordinator: Database
    provider: Database

    def close(self) -> None:
        self.coordinator.close()
        self.provider.close()

    def check(self) -> None:
        Books(self.coordinator).check()
        Books(self.provider).check()

    def view(self) -> dict[str, Any]:
        """Everything that can be seen of them, to be compared with ``Model.view``."""
        mine, theirs = Books(self.coordinator).balances(), Books(self.provider).balances()
        pair = {"coordinator": COORDINATOR.peer_id, "provider": PROVIDER.peer_id}
        return {
            "coordinator": {account: amount for account, amount in mine.items() if amount},
            "provider": {
                account: amount for account, amount in theirs.items() if amount and account in (OWES, "income")
            },
            "holds": {hold.request_id: (hold.account, hold.held) for hold in Holds(self.coordinator).pending()},
            "events": [_events(self.coordinator), _events(self.provider)],
            "chain": _digests(self.provider, receipts.c.digest),
            "taken": _digests(self.coordinator, countersignatures.c.receipt_digest),
            "delivered": _digests(self.provider, countersignatures.c.receipt_digest),
            "total": ReceiptStore(self.coordinator).owed(**pair),
        }


def _events(database: Database) -> int:
    with database.reader() as db:
        return len(db.execute(select(events.c.id).where(events.c.node == database.own)).all())


def _digests(database: Database, column: Column[bytes]) -> list[bytes]:
    with database.reader() as db:
        return sorted(db.execute(select(column).where(column.table.c.node == database.own)).scalars())


@dataclass
class Model:
    """What the ledgers should hold, kept without a database."""

    balances: Counter[str] = field(default_factory=Counter)
    provider: Counter[str] = field(default_factory=Counter)
    posted: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: dict[str, tuple[str, int]] = field(default_factory=dict)
    holds: dict[str, tuple[str, int]] = field(default_factory=dict)
    chain: list[SignedReceipt] = field(default_factory=list)
    taken: dict[tuple[str, int], tuple[bytes, int]] = field(default_factory=dict)
    delivered: set[bytes] = field(default_factory=set)
    total: int = 0
    # Events of either, which tell apart what comes to the same: set aside and given back, or neither.
    events: int = 0
    given: int = 0

    def copy(self) -> Model:
        return Model(
            Counter(self.balances),
            Counter(self.provider),
            dict(self.posted),
            dict(self.asked),
            dict(self.holds),
            list(self.chain),
            dict(self.taken),
            set(self.delivered),
            self.total,
            self.events,
            self.given,
        )

    def view(self) -> dict[str, Any]:
        return {
            "coordinator": {account: amount for account, amount in self.balances.items() if amount},
            "provider": {account: amount for account, amount in self.provider.items() if amount},
            "holds": {request_id: (client(name), left) for request_id, (name, left) in self.holds.items()},
            "events": [self.events, self.given],
            "chain": sorted(signed.digest for signed in self.chain),
            "taken": sorted(digest for digest, _ in self.taken.values()),
            "delivered": sorted(self.delivered),
            "total": self.total,
        }

    def lessen_hold(self, request_id: str, amount: int) -> None:
        name, left = self.holds.pop(request_id)
        self.balances[held(name)] -= amount
        if left > amount:
            self.holds[request_id] = (name, left - amount)
