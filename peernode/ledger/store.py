"""The receipt store: append receipts, countersignatures and refusals; find them again.

Every method that writes returns after the commit is on the disk. Methods block (call them from a worker thread) and
may be called from several threads; SQLite's write lock orders them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine, Row, func, insert, select

from peernode.ledger.database import open_database, open_database_readonly
from peernode.ledger.errors import ReceiptConflict
from peernode.ledger.records import ReceiptRecord, Refusal
from peernode.ledger.schema import countersignatures, receipts, refusals
from peernode.wire.countersignature import SignedCountersignature, open_countersignature
from peernode.wire.receipt import NO_PREVIOUS, SignedReceipt, open_receipt


class ReceiptStore:
    """All receipts that this node made, countersigned or refused. ``own`` is its peer id."""

    def __init__(self, engine: Engine, *, own: str) -> None:
        self._engine = engine
        self._reader = engine.execution_options(reading=True)
        self._own = own

    @classmethod
    def open(cls, path: Path, *, own: str) -> ReceiptStore:
        """Open or create. Raises LedgerError."""
        return cls(open_database(path), own=own)

    @classmethod
    def open_readonly(cls, path: Path) -> ReceiptStore:
        """Open an existing store to read it. Raises LedgerError."""
        return cls(open_database_readonly(path), own="")

    def close(self) -> None:
        self._engine.dispose()

    def append(self, build: Callable[[int, bytes], SignedReceipt], *, now_ms: int) -> SignedReceipt:
        """Add this node's next receipt as a provider: ``build(seq, previous)`` makes it inside the transaction."""
        with self._engine.begin() as db:
            last = db.execute(
                select(receipts.c.seq, receipts.c.digest)
                .where(receipts.c.provider == self._own)
                .order_by(receipts.c.seq.desc())
                .limit(1)
            ).first()
            signed = build(last.seq + 1, last.digest) if last else build(1, NO_PREVIOUS)
            self._insert(db, signed, now_ms)
        return signed

    def countersign(
        self, signed: SignedReceipt, build: Callable[[int], SignedCountersignature], *, now_ms: int
    ) -> SignedCountersignature:
        """As coordinator, take on ``signed``: ``build(cumulative)`` signs the new total owed to its provider.

        Asking again for the same receipt gives the same countersignature. Raises ReceiptConflict when another
        receipt for this part of the job is already countersigned.
        """
        receipt = signed.receipt
        with self._engine.begin() as db:
            held = db.execute(
                select(countersignatures.c.raw).where(countersignatures.c.receipt_digest == signed.digest)
            ).first()
            if held:
                return open_countersignature(held.raw)
            other = db.execute(
                select(receipts.c.digest)
                .join(countersignatures, countersignatures.c.receipt_digest == receipts.c.digest)
                .where(
                    receipts.c.request_id == receipt.request_id,
                    receipts.c.part == receipt.part,
                    receipts.c.coordinator == receipt.coordinator,
                )
            ).first()
            if other:
                raise ReceiptConflict("Another receipt for this part of the job is already countersigned.")
            owed = db.execute(
                select(func.max(countersignatures.c.cumulative)).where(
                    countersignatures.c.coordinator == receipt.coordinator,
                    countersignatures.c.provider == receipt.provider,
                )
            ).scalar()
            made = build((owed or 0) + receipt.credits)
            self._insert(db, signed, now_ms)
            self._insert_countersignature(db, made, now_ms)
        return made

    def add_countersignature(self, made: SignedCountersignature, *, now_ms: int) -> None:
        """As provider, keep the coordinator's countersignature of a receipt that is here already. Idempotent."""
        with self._engine.begin() as db:
            digest = made.countersignature.receipt_digest
            known = db.execute(
                select(countersignatures.c.receipt_digest).where(countersignatures.c.receipt_digest == digest)
            ).first()
            if known is None:
                self._insert_countersignature(db, made, now_ms)

    def refuse(self, refusal: Refusal, *, signed: SignedReceipt | None = None) -> None:
        """Record a refused receipt; ``signed`` when it is at least a receipt, which then is found like any other."""
        with self._engine.begin() as db:
            if signed is not None:
                self._insert(db, signed, refusal.recorded_ms)
            db.execute(
                insert(refusals).values(
                    request_id=refusal.request_id,
                    part=refusal.part,
                    provider=refusal.provider,
                    receipt_digest=signed.digest if signed else None,
                    raw=refusal.raw,
                    code=refusal.code,
                    reason=refusal.reason[:1024],
                    recorded_ms=refusal.recorded_ms,
                )
            )

    def find(self, request_id: str) -> Sequence[ReceiptRecord]:
        """All receipts of one request, by part."""
        query = _RECORDS.where(receipts.c.request_id == request_id).order_by(receipts.c.part, receipts.c.recorded_ms)
        with self._reader.connect() as db:
            return [_record(row) for row in db.execute(query)]

    def list(self, *, limit: int = 50, before_ms: int | None = None) -> Sequence[ReceiptRecord]:
        """The newest receipts first, at most ``limit``, recorded before ``before_ms``."""
        query = _RECORDS.order_by(receipts.c.recorded_ms.desc(), receipts.c.seq.desc()).limit(limit)
        if before_ms is not None:
            query = query.where(receipts.c.recorded_ms < before_ms)
        with self._reader.connect() as db:
            return [_record(row) for row in db.execute(query)]

    def refusals(self, request_id: str | None = None, *, limit: int = 50) -> Sequence[Refusal]:
        """Refused receipts, of one request or of all; the newest first."""
        query = select(refusals).order_by(refusals.c.id.desc()).limit(limit)
        if request_id is not None:
            query = query.where(refusals.c.request_id == request_id)
        with self._reader.connect() as db:
            return [
                Refusal(row.request_id, row.part, row.provider, row.raw, row.code, row.reason, row.recorded_ms)
                for row in db.execute(query)
            ]

    def owed(self, *, coordinator: str, provider: str) -> int:
        """Micro-credits of the newest cumulative total between the two."""
        query = select(func.max(countersignatures.c.cumulative)).where(
            countersignatures.c.coordinator == coordinator, countersignatures.c.provider == provider
        )
        with self._reader.connect() as db:
            return int(db.execute(query).scalar() or 0)

    def _role(self, signed: SignedReceipt) -> str:
        if signed.receipt.coordinator == signed.receipt.provider == self._own:
            return "both"
        return "provider" if signed.receipt.provider == self._own else "coordinator"

    def _insert(self, db: Connection, signed: SignedReceipt, now_ms: int) -> None:
        if db.execute(select(receipts.c.digest).where(receipts.c.digest == signed.digest)).first():
            return
        receipt = signed.receipt
        db.execute(
            insert(receipts).values(
                digest=signed.digest,
                request_id=receipt.request_id,
                part=receipt.part,
                role=self._role(signed),
                coordinator=receipt.coordinator,
                provider=receipt.provider,
                seq=receipt.seq,
                credits=receipt.credits,
                raw=signed.raw,
                recorded_ms=now_ms,
            )
        )

    def _insert_countersignature(self, db: Connection, made: SignedCountersignature, now_ms: int) -> None:
        body = made.countersignature
        db.execute(
            insert(countersignatures).values(
                receipt_digest=body.receipt_digest,
                coordinator=body.coordinator,
                provider=body.provider,
                cumulative=body.cumulative,
                raw=made.raw,
                recorded_ms=now_ms,
            )
        )


_LAST_REFUSAL = (
    select(refusals.c.receipt_digest, func.max(refusals.c.reason).label("reason"))
    .group_by(refusals.c.receipt_digest)
    .subquery()
)
_RECORDS = (
    select(receipts, countersignatures.c.raw.label("countersignature"), _LAST_REFUSAL.c.reason)
    .outerjoin(countersignatures, countersignatures.c.receipt_digest == receipts.c.digest)
    .outerjoin(_LAST_REFUSAL, _LAST_REFUSAL.c.receipt_digest == receipts.c.digest)
)


def _record(row: Row[tuple[object, ...]]) -> ReceiptRecord:
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
