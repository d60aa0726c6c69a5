"""The receipt store: append receipts, countersignatures and refusals; find them again.

Every method that writes returns after the commit is on the disk, and posts to the books in the same transaction.
Methods block and may be called from several threads; those named ``…_soon`` give a future at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from sqlalchemy import Connection, insert, select

from peernode.ledger import receipt_rows as rows
from peernode.ledger.books import post
from peernode.ledger.database import Database, own_of
from peernode.ledger.errors import ReceiptConflict
from peernode.ledger.holds import open_hold
from peernode.ledger.open_jobs import close_settled
from peernode.ledger.receipt_events import Share, given, share_of, taken
from peernode.ledger.records import ReceiptRecord, Refusal
from peernode.ledger.schema import receipts, refusals
from peernode.ledger.spending import charge, fee_on
from peernode.ledger.vouchers import check_voucher
from peernode.wire.countersignature import SignedCountersignature, open_countersignature
from peernode.wire.receipt import SignedReceipt

Build = Callable[[int, bytes], SignedReceipt]
BuildTotal = Callable[[int], SignedCountersignature]


class ReceiptStore:
    """All receipts that this node made, countersigned or refused."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, where: Path | str, *, own: str) -> ReceiptStore:
        """Open or create the ledger for its receipts alone; ``own`` is the node's peer id. Raises LedgerError."""
        return cls(Database.open(where, own=own))

    @classmethod
    def open_readonly(cls, where: Path | str, *, own: str = "") -> ReceiptStore:
        """Open an existing ledger to read it; without ``own`` the receipts of all its nodes. Raises LedgerError."""
        return cls(Database.open_readonly(where, own=own))

    @property
    def database(self) -> Database:
        return self._database

    def close(self) -> None:
        self._database.close()

    def append(self, build: Build, *, now_ms: int) -> SignedReceipt:
        """Add this node's next receipt as a provider: ``build(seq, previous)`` makes it inside the transaction."""
        return self.append_soon(build, now_ms=now_ms).result()

    def append_soon(self, build: Build, *, now_ms: int) -> Future[SignedReceipt]:
        def work(db: Connection) -> SignedReceipt:
            seq, digest = rows.last_of_chain(db)
            signed = build(seq + 1, digest)
            rows.add_receipt(db, signed, now_ms, new=True)
            return signed

        return self._database.writer.submit(work)

    def countersign(self, signed: SignedReceipt, build: BuildTotal, *, now_ms: int) -> SignedCountersignature:
        """As coordinator, take on ``signed``: ``build(cumulative)`` signs the new total owed to its provider.

        Its credits are posted, from the hold of its request if there is one. Asking again for the same receipt gives
        the same countersignature. Raises ReceiptConflict when another receipt for this part of the job is already
        countersigned.
        """
        return self.countersign_soon(signed, build, now_ms=now_ms).result()

    def countersign_soon(
        self, signed: SignedReceipt, build: BuildTotal, *, now_ms: int
    ) -> Future[SignedCountersignature]:
        return self._database.writer.submit(lambda db: countersign(db, signed, build, now_ms=now_ms))

    def add_countersignature(self, made: SignedCountersignature, *, now_ms: int) -> None:
        """As provider, keep the coordinator's countersignature of a receipt that is here already. Idempotent.

        Raises VoucherTooLow when its total is less than the coordinator signed for.
        """
        self.add_countersignature_soon(made, now_ms=now_ms).result()

    def add_countersignature_soon(self, made: SignedCountersignature, *, now_ms: int) -> Future[None]:
        return self._database.writer.submit(lambda db: add_countersignature(db, made, now_ms=now_ms))

    def refuse(self, refusal: Refusal, *, signed: SignedReceipt | None = None) -> None:
        """Record a refused receipt; ``signed`` when it is at least a receipt, which then is found like any other."""

        def work(db: Connection) -> None:
            if signed is not None:
                rows.add_receipt(db, signed, refusal.recorded_ms)
            db.execute(
                insert(refusals).values(
                    node=self._database.own,
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

        self._database.writer.run(work)

    def find(self, request_id: str) -> Sequence[ReceiptRecord]:
        """All receipts of one request, by part."""
        query = rows.records(self._database.own).where(receipts.c.request_id == request_id)
        with self._database.reader() as db:
            found = db.execute(query.order_by(receipts.c.part, receipts.c.recorded_ms))
            return [rows.read_record(row) for row in found]

    def list(self, *, limit: int = 50, before_ms: int | None = None) -> Sequence[ReceiptRecord]:
        """The newest receipts first, at most ``limit``, recorded before ``before_ms``."""
        query = rows.records(self._database.own)
        query = query.order_by(receipts.c.recorded_ms.desc(), receipts.c.seq.desc()).limit(limit)
        if before_ms is not None:
            query = query.where(receipts.c.recorded_ms < before_ms)
        with self._database.reader() as db:
            return [rows.read_record(row) for row in db.execute(query)]

    def refusals(self, request_id: str | None = None, *, limit: int = 50) -> Sequence[Refusal]:
        """Refused receipts, of one request or of all; the newest first."""
        query = select(refusals).where(rows.mine(refusals.c.node, self._database.own))
        query = query.order_by(refusals.c.id.desc()).limit(limit)
        if request_id is not None:
            query = query.where(refusals.c.request_id == request_id)
        with self._database.reader() as db:
            return [
                Refusal(row.request_id, row.part, row.provider, row.raw, row.code, row.reason, row.recorded_ms)
                for row in db.execute(query)
            ]

    def owed(self, *, coordinator: str, provider: str) -> int:
        """Micro-credits of the newest cumulative total between the two."""
        with self._database.reader() as db:
            return rows.total(db, self._database.own, coordinator, provider)


def countersign(db: Connection, signed: SignedReceipt, build: BuildTotal, *, now_ms: int) -> SignedCountersignature:
    """``ReceiptStore.countersign`` inside the transaction of ``db``."""
    receipt = signed.receipt
    if (there := rows.countersigned_of_part(db, signed)) is not None:
        digest, raw = there
        if digest != signed.digest:
            raise ReceiptConflict("Another receipt for this part of the job is already countersigned.")
        return open_countersignature(raw)
    before = rows.total(db, own_of(db), receipt.coordinator, receipt.provider)
    made = build(before + receipt.credits)
    rows.add_receipt(db, signed, now_ms)
    rows.add_countersignature(db, made, now_ms)
    close_settled(db, receipt)
    hold = open_hold(db, receipt.request_id) if receipt.credits else None
    share = Share() if hold is None else share_of(receipt, hold.account, held=hold.held, fee=fee_on(db, receipt))
    event = taken(signed, share, at_ms=now_ms)
    if event is not None:
        post(db, event)
    charge(db, signed, paid=share.paid + share.fee, now_ms=now_ms)
    return made


def add_countersignature(db: Connection, made: SignedCountersignature, *, now_ms: int) -> None:
    """``ReceiptStore.add_countersignature`` inside the transaction of ``db``."""
    digest = made.countersignature.receipt_digest
    if rows.countersigned(db, digest) is not None:
        return
    signed = rows.find_receipt(db, digest)
    if signed is not None:
        check_voucher(db, made, signed)
    rows.add_countersignature(db, made, now_ms)
    if signed is not None:
        close_settled(db, signed.receipt)
    if signed is not None and (event := given(signed, at_ms=now_ms)) is not None:
        post(db, event)
