"""What a log of receipts that was harmed raises."""

from __future__ import annotations

from peernode.ledger.errors import LedgerError


class LogBroken(LedgerError):
    """This node's own log is not what it signed: nothing more may be signed on top of it."""

    code = "log_broken"


def broken(cause: str) -> LogBroken:
    return LogBroken(
        "This node's log of receipts is not what it signed.",
        cause=cause,
        remedy="Restore the ledger from a backup, then `peernode receipts import` what that lacks.",
    )
