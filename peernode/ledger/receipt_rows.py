"""Receipts as rows: what the receipt store asks the database, and what it reads back."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, func, insert, select, true
from sqlalchemy.dialects import postgresql, sqlite

from peernode.ledger.database import own_of
from peernode.ledger.log_tree import append_entry
from peernode.ledger.records import ReceiptRecord
from peernode.ledger.schema import countersignatures, receipts, refusals
from peernode.wire.countersignature import SignedCountersignature, open_countersignature
from peernode.wire.receipt import NO_PREVIOUS, SignedReceipt, open_receipt


def last_of_chain(db: Connection) -> tuple[int, bytes]:
    """``seq`` and digest of this node's last receipt as a provider."""
    own = own_of(db)
    row = db.execute(_LAST, {"at": own, "by": own}).first()
    return (row.seq, row.digest) if row else (0, NO_PREVIOUS)


def countersigned(db: Connection, digest: bytes) -> bytes | None:
    """The countersignature of a receipt, as it was signed."""
    raw: bytes | None = db.execute(_COUNTERSIGNATURE, {"at": own_of(db), "of": digest}).scalar()
    return raw


def countersigned_of_part(db: Connection, signed: SignedReceipt) -> tuple[bytes, bytes] | None:
    """(digest, countersignature) of the receipt that is countersigned for the part of the job that ``signed`` is of."""
    receipt = signed.receipt
    asked = {"at": own_of(db), "request": receipt.request_id, "nth": receipt.part, "by": receipt.coordinator}
    row = db.execute(_OF_PART, asked).first()
    return (row.digest, row.raw) if row else None


def total(db: Connection, own: str, coordinator: str, provider: str) -> int:
    """The newest cumulative total that ``coordinator`` signed for ``provider``, in micro-credits."""
    query = _TOTAL if own else _ANY_TOTAL
    return db.execute(query, {"at": own, "by": coordinator, "for": provider}).scalar() or 0


def find_receipt(db: Connection, digest: bytes) -> SignedReceipt | None:
    raw = db.execute(_RECEIPT, {"at": own_of(db), "of": digest}).scalar()
    return open_receipt(raw) if raw else None


def add_receipt(db: Connection, signed: SignedReceipt, now_ms: int, *, new: bool = False) -> None:
    """Insert a receipt unless it is here; ``new`` when it cannot be.

    Raises LogBroken when it is this node's own and not its next.
    """
    own, receipt = own_of(db), signed.receipt
    own_work = receipt.provider == own
    if own_work and not new and db.execute(_RECEIPT, {"at": own, "of": signed.digest}).first():
        return
    role = "provider" if own_work else "coordinator"
    if own_work:
        append_entry(db, receipt.seq, signed.raw)
    db.execute(
        _INSERT_RECEIPT[db.dialect.name],
        {
            "node": own,
            "digest": signed.digest,
            "request_id": receipt.request_id,
            "part": receipt.part,
            "role": "both" if own_work and receipt.coordinator == own else role,
            "coordinator": receipt.coordinator,
            "provider": receipt.provider,
            "seq": receipt.seq,
            "credits": receipt.credits,
            "raw": signed.raw,
            "recorded_ms": now_ms,
        },
    )


def add_countersignature(db: Connection, made: SignedCountersignature, now_ms: int) -> None:
    body = made.countersignature
    db.execute(
        _INSERT_COUNTERSIGNATURE,
        {
            "node": own_of(db),
            "receipt_digest": body.receipt_digest,
            "coordinator": body.coordinator,
            "provider": body.provider,
            "cumulative": body.cumulative,
            "raw": made.raw,
            "recorded_ms": now_ms,
        },
    )


def mine(node: ColumnElement[str], own: str) -> ColumnElement[bool]:
    """Rows of ``own``; of every node when it is empty."""
    return node == own if own else true()


def records(own: str) -> Select[tuple[object, ...]]:
    """Receipts with their countersignatures and why they were refused; see ``read_record``."""
    refused = (
        select(refusals.c.node, refusals.c.receipt_digest, func.max(refusals.c.reason).label("reason"))
        .group_by(refusals.c.node, refusals.c.receipt_digest)
        .subquery()
    )
    same = and_(countersignatures.c.node == receipts.c.node, countersignatures.c.receipt_digest == receipts.c.digest)
    return (
        select(receipts, countersignatures.c.raw.label("countersignature"), refused.c.reason)
        .outerjoin(countersignatures, same)
        .outerjoin(refused, and_(refused.c.node == receipts.c.node, refused.c.receipt_digest == receipts.c.digest))
        .where(mine(receipts.c.node, own))
    )


def read_record(row: Row[tuple[object, ...]]) -> ReceiptRecord:
    made = open_countersignature(row.countersignature) if row.countersignature else None
    return ReceiptRecord(
        request_id=row.request_id,
        part=row.part,
        role=row.role,
        receipt=open_receipt(row.raw),
        countersignature=made,
        refused=row.reason or "",
        recorded_ms=row.recorded_ms,
    )


_LAST = (
    select(receipts.c.seq, receipts.c.digest)
    .where(receipts.c.node == bindparam("at"), receipts.c.provider == bindparam("by"))
    .order_by(receipts.c.seq.desc())
    .limit(1)
)
_RECEIPT = select(receipts.c.raw).where(receipts.c.node == bindparam("at"), receipts.c.digest == bindparam("of"))
_COUNTERSIGNATURE = select(countersignatures.c.raw).where(
    countersignatures.c.node == bindparam("at"), countersignatures.c.receipt_digest == bindparam("of")
)
_ANY_TOTAL = select(func.max(countersignatures.c.cumulative)).where(
    countersignatures.c.coordinator == bindparam("by"), countersignatures.c.provider == bindparam("for")
)
_TOTAL = _ANY_TOTAL.where(countersignatures.c.node == bindparam("at"))
_OF_PART = (
    select(receipts.c.digest, countersignatures.c.raw)
    .join(
        countersignatures,
        and_(countersignatures.c.node == receipts.c.node, countersignatures.c.receipt_digest == receipts.c.digest),
    )
    .where(
        receipts.c.node == bindparam("at"),
        receipts.c.request_id == bindparam("request"),
        receipts.c.part == bindparam("nth"),
        receipts.c.coordinator == bindparam("by"),
    )
)
_INSERT_RECEIPT = {
    "sqlite": sqlite.insert(receipts).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(receipts).on_conflict_do_nothing(),
}
_INSERT_COUNTERSIGNATURE = insert(countersignatures)
