"""What the ledger refuses."""

from __future__ import annotations

from peernode.errors import PeernodeError


class LedgerError(PeernodeError):
    """The ledger's file cannot be used."""

    code = "ledger"


class ReceiptConflict(LedgerError):
    """Another receipt for the same part of the same job is already countersigned."""

    code = "receipt_conflict"
