"""What the ledger refuses."""

from __future__ import annotations

from peernode.errors import PeernodeError


class LedgerError(PeernodeError):
    """The ledger cannot be used."""

    code = "ledger"


class LedgerUnavailable(LedgerError):
    """The database did not take what was to be written; nothing of it may be relied on."""

    code = "ledger_unavailable"


class ReceiptConflict(LedgerError):
    """Another receipt for the same part of the same job is already countersigned."""

    code = "receipt_conflict"


class EventConflict(LedgerError):
    """An event of this key is there already, and says something else."""

    code = "event_conflict"


class InsufficientBalance(LedgerError):
    """An account does not reach for what is to be held. ``balance`` and ``needed`` are micro-credits."""

    code = "insufficient_balance"

    def __init__(self, *, balance: int, needed: int) -> None:
        super().__init__(
            "The balance does not reach for this.",
            cause=f"{needed} micro-credits are needed, {balance} are left",
            remedy="Top the account up, or ask for fewer tokens.",
        )
        self.balance = balance
        self.needed = needed


class BooksDiffer(LedgerError):
    """The books do not agree with themselves: a projection differs from its events, or an event is not whole."""

    code = "books_differ"


class VoucherTooLow(LedgerError):
    """A coordinator signed a total that is less than the receipts it countersigned come to."""

    code = "voucher_too_low"
