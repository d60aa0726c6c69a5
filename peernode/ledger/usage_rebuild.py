"""What clients used by day, made anew from receipts and the books: a projection that differs is no loss."""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, func, select, update

from peernode.ledger import events as accounts
from peernode.ledger.client_schema import client_days, client_requests
from peernode.ledger.schema import countersignatures, events, postings, receipts
from peernode.ledger.spending import charge
from peernode.wire.receipt import open_receipt


def rebuild_usage(db: Connection) -> None:
    """Forget the days and the charges of requests, and note every countersigned receipt of a client again."""
    db.execute(delete(client_days))
    db.execute(update(client_requests).values(parts=0, charged=0))
    taken = (
        select(receipts.c.raw, receipts.c.digest, countersignatures.c.recorded_ms)
        .join(
            countersignatures,
            and_(countersignatures.c.receipt_digest == receipts.c.digest, countersignatures.c.node == receipts.c.node),
        )
        .join(client_requests, client_requests.c.request_id == receipts.c.request_id)
        .where(receipts.c.node == receipts.c.coordinator)
        .order_by(countersignatures.c.recorded_ms, receipts.c.part)
    )
    for row in db.execute(taken).all():
        charge(db, open_receipt(row.raw), paid=_paid(db, row.digest), now_ms=row.recorded_ms)


def _paid(db: Connection, digest: bytes) -> int:
    """What a client's hold gave for this receipt."""
    key = f"receipt:{digest.hex()}:taken"  # as ``receipt_events`` names it
    query = (
        select(func.sum(postings.c.amount))
        .join(events, events.c.id == postings.c.event_id)
        .where(events.c.key == key, postings.c.account.startswith(accounts.HELD))
    )
    return -int(db.execute(query).scalar() or 0)
