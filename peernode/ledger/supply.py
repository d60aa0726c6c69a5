"""The supply: the most credits that may ever be granted, to all keys together and to each one of them.

Kept in the ledger itself, so that it holds whoever grants, from whichever node or command. What was granted before a
limit was set stays, and counts. Amounts are micro-credits; methods block.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from peernode.ledger.books import balance_of
from peernode.ledger.client_schema import credit_supply
from peernode.ledger.database import Database
from peernode.ledger.errors import LedgerError
from peernode.ledger.events import GRANTED, MAX_AMOUNT, client
from peernode.ledger.schema import events, postings

TOTAL, EACH = "total", "each"
MICRO = 10**6


class SupplyExhausted(LedgerError):
    """A grant would go beyond what may be granted. ``scope`` is TOTAL or EACH, ``left`` what could still be."""

    code = "supply_exhausted"

    def __init__(self, *, scope: str, most: int, left: int) -> None:
        whom = "this key" if scope == EACH else "all keys together"
        super().__init__(
            f"No more than {most / MICRO:g} credits may be granted to {whom}.",
            cause=f"{max(0, left) / MICRO:g} are left of them",
            remedy="Grant less; `peernode credits supply` shows the limits, and changes them.",
        )
        self.scope = scope
        self.left = left


class BadSupply(LedgerError):
    """No such number of credits can be a limit."""

    code = "bad_supply"


@dataclass(frozen=True, slots=True)
class SupplyLimits:
    """None where nothing is limited. ``granted`` is what was granted until now."""

    granted: int
    total: int | None
    each: int | None

    @property
    def left(self) -> int | None:
        return None if self.total is None else max(0, self.total - self.granted)


class Supply:
    """That of one ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def limits(self) -> SupplyLimits:
        with self._database.reader() as db:
            return SupplyLimits(-balance_of(db, GRANTED), _limit(db, TOTAL), _limit(db, EACH))

    def limit(self, scope: str, most: int | None) -> None:
        """Set one limit, or take it away; durable when this returns. Raises BadSupply."""
        if most is not None and not 0 <= most <= MAX_AMOUNT:
            raise BadSupply("A limit is a number of credits.", cause=str(most)[:40])

        def work(db: Connection) -> None:
            db.execute(delete(credit_supply).where(credit_supply.c.scope == scope))
            if most is not None:
                db.execute(insert(credit_supply).values(scope=scope, most=most))

        self._database.writer.run(work)


def check_supply(db: Connection, key_id: str, amount: int) -> None:
    """After ``amount`` was granted to a key, in the same transaction, which this ends. Raises SupplyExhausted."""
    for scope in (TOTAL, EACH):
        most = _limit(db, scope)
        if most is None:
            continue
        over = (-balance_of(db, GRANTED) if scope == TOTAL else _granted(db, key_id)) - most
        if over > 0:
            raise SupplyExhausted(scope=scope, most=most, left=amount - over)


def _limit(db: Connection, scope: str) -> int | None:
    return db.execute(select(credit_supply.c.most).where(credit_supply.c.scope == scope)).scalar()


def _granted(db: Connection, key_id: str) -> int:
    granted = (
        select(func.sum(postings.c.amount))
        .join(events, events.c.id == postings.c.event_id)
        .where(postings.c.account == client(key_id), postings.c.node == "", events.c.kind == "grant")
    )
    return int(db.execute(granted).scalar() or 0)
