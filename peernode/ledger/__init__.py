"""What a node must not lose: receipts and countersignatures, durable and append-only. Synchronous; no trio, no HTTP."""

from peernode.ledger.errors import LedgerError, ReceiptConflict
from peernode.ledger.records import ReceiptRecord, Refusal
from peernode.ledger.store import ReceiptStore

__all__ = ["LedgerError", "ReceiptConflict", "ReceiptRecord", "ReceiptStore", "Refusal"]
