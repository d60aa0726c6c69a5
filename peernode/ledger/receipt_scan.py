"""All receipts of a ledger as bytes, for exports and bulk checks: unopened, in the order of each provider's chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, select

from peernode.ledger.database import Database
from peernode.ledger.receipt_rows import mine
from peernode.ledger.schema import countersignatures, receipts

CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which receipts: recorded at or after ``since_ms``, with ``peer`` on either side, of one request; else all."""

    since_ms: int = 0
    peer: str = ""
    request_id: str = ""

    def conditions(self) -> list[ColumnElement[bool]]:
        found = []
        if self.since_ms:
            found.append(receipts.c.recorded_ms >= self.since_ms)
        if self.peer:
            found.append((receipts.c.provider == self.peer) | (receipts.c.coordinator == self.peer))
        if self.request_id:
            found.append(receipts.c.request_id == self.request_id)
        return found


def count(database: Database, wanted: Wanted) -> int:
    query = select(func.count()).select_from(receipts)
    query = query.where(mine(receipts.c.node, database.own), *wanted.conditions())
    with database.reader() as db:
        return int(db.execute(query).scalar_one())


def scan(database: Database, wanted: Wanted) -> Iterator[tuple[bytes, bytes | None]]:
    """Each receipt with its countersignature if there is one, as they were signed."""
    same = and_(countersignatures.c.node == receipts.c.node, countersignatures.c.receipt_digest == receipts.c.digest)
    query = (
        select(receipts.c.raw, countersignatures.c.raw.label("countersignature"))
        .outerjoin(countersignatures, same)
        .where(mine(receipts.c.node, database.own), *wanted.conditions())
        .order_by(receipts.c.node, receipts.c.provider, receipts.c.seq)
        .execution_options(yield_per=CHUNK)
    )
    with database.reader() as db:
        for row in db.execute(query):
            yield row.raw, row.countersignature
