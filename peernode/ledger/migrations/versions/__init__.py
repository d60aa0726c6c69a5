"""Revisions of the ledger, each chained onto the one before; a ledger that was written is never forgotten."""
