"""Putting back receipts that a ledger lost: those of its own node only, and its own log only as it was.

A node that goes on signing with receipts missing signs a second log under its key, and is caught; so what it signed
must be put back before it signs again, in order and without a gap.
"""

from __future__ import annotations

from sqlalchemy import Connection

from peernode.ledger import receipt_rows as rows
from peernode.ledger.database import own_of
from peernode.ledger.errors import LedgerError
from peernode.ledger.store import add_countersignature, countersign
from peernode.wire.countersignature import SignedCountersignature
from peernode.wire.receipt import SignedReceipt


class NotRestored(LedgerError):
    """A receipt that does not belong into this ledger, or not now."""

    code = "not_restored"


def restore(db: Connection, signed: SignedReceipt, made: SignedCountersignature | None, *, now_ms: int) -> bool:
    """Put back one verified receipt, and post it to the books as when it was first taken in; False if all was there.

    Raises NotRestored, ReceiptConflict.
    """
    own, receipt = own_of(db), signed.receipt
    if own not in (receipt.provider, receipt.coordinator):
        raise NotRestored("This node is neither side of that receipt.")
    known = rows.find_receipt(db, signed.digest) is not None
    if known and (made is None or rows.countersigned(db, signed.digest) is not None):
        return False
    if receipt.provider == own and not known:
        seq, digest = rows.last_of_chain(db)
        if (receipt.seq, receipt.previous) != (seq + 1, digest):
            raise NotRestored(
                "The receipt does not follow the last one of this node's log.",
                cause=f"it is number {receipt.seq}, the last one here is {seq}",
            )
    at_ms = min(receipt.finished_ms, now_ms)
    rows.add_receipt(db, signed, at_ms)
    if made is not None and receipt.coordinator == own:
        countersign(db, signed, lambda _: made, now_ms=at_ms)
    elif made is not None:
        add_countersignature(db, made, now_ms=at_ms)
    return True
