"""What a node must not lose: receipts, countersignatures, and the books; durable and append-only.

Synchronous; no trio, no HTTP.
"""

from peernode.ledger.books import Books, Entry, post
from peernode.ledger.database import Database
from peernode.ledger.errors import (
    BooksDiffer,
    EventConflict,
    InsufficientBalance,
    LedgerError,
    LedgerUnavailable,
    ReceiptConflict,
)
from peernode.ledger.events import Event, Posting
from peernode.ledger.holds import Hold, Holds
from peernode.ledger.records import ReceiptRecord, Refusal
from peernode.ledger.store import ReceiptStore
from peernode.ledger.writer import Writer

__all__ = [
    "Books",
    "BooksDiffer",
    "Database",
    "Entry",
    "Event",
    "EventConflict",
    "Hold",
    "Holds",
    "InsufficientBalance",
    "LedgerError",
    "LedgerUnavailable",
    "Posting",
    "ReceiptConflict",
    "ReceiptRecord",
    "ReceiptStore",
    "Refusal",
    "Writer",
    "post",
]
