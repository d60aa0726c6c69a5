"""Receipts as rows: what the receipt store asks the database, and what it reads back."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, func, insert, select, true

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


def has_other(db: Connection, signed: SignedReceipt) -> bool:
    """Whether another receipt for the same part of the job is countersigned."""
    receipt = signed.receipt
    asked = {"at": own_of(db), "request": receipt.request_id, "nth": receipt.part, "by": receipt.coordinator}
    return db.execute(_OTHER, asked).first() is not None


def total(db: Connection, own: str, coordinator: str, provider: str) -> int:
    """The newest cumulative total that ``coordinator`` signed for ``provider``, in micro-credits."""
    query = select(func.max(countersignatures.c.cumulative)).where(
        mine(countersignatures.c.node, own),
        countersignatures.c.coordinator == coordinator,
        countersignatures.c.provider == provider,
    )
    return db.execute(query).scalar() or 0


def find_receipt(db: Connection, digest: bytes) -> SignedReceipt | None:
    raw = db.execute(_RECEIPT, {"at": own_of(db), "of": digest}).scalar()
    return open_receipt(raw) if raw else None


def add_receipt(db: Connection, signed: SignedReceipt, now_ms: int) -> None:
    """Insert a receipt unless it is here. Raises LogBroken when it is this node's own and not its next."""
    own, receipt = own_of(db), signed.receipt
    if db.execute(_RECEIPT, {"at": own, "of": signed.digest}).first():
        return
    if receipt.coordinator == receipt.provider == own:
        role = "both"
    else:
        role = "provider" if receipt.provider == own else "coordinator"
    if receipt.provider == own:
        append_entry(db, receipt.seq, signed.raw)
    db.execute(
        _INSERT_RECEIPT,
        {
            "node": own,
            "digest": signed.digest,
            "request_id": receipt.request_id,
            "part": receipt.part,
            "role": role,
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
_OTHER = (
    select(receipts.c.digest)
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
_INSERT_RECEIPT = insert(receipts)
_INSERT_COUNTERSIGNATURE = insert(countersignatures)
