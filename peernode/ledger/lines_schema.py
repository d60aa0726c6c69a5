"""Tables of credit between nodes: settlement notes and marks, which are facts, and what follows from facts."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table

from peernode.ledger.schema import ROW_NUMBER, metadata

settlement_notes = Table(
    "settlement_notes",
    metadata,
    Column("node", String(64), primary_key=True),
    Column("creditor", String(64), primary_key=True),
    Column("debtor", String(64), primary_key=True),
    Column("settled", BigInteger, primary_key=True, autoincrement=False),
    Column("amount", BigInteger, nullable=False),
    Column("reference", String(256), nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
)

# Why a peer is not trusted as it was.
peer_marks = Table(
    "peer_marks",
    metadata,
    Column("id", ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("node", String(64), nullable=False),
    Column("peer", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("reason", String(512), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("peer_marks_by_peer", "node", "peer", "id"),
)

# Up to which total a debtor is known to hold this node's notes.
note_deliveries = Table(
    "note_deliveries",
    metadata,
    Column("node", String(64), primary_key=True),
    Column("debtor", String(64), primary_key=True),
    Column("settled", BigInteger, nullable=False),
)

# ``counted`` is what of the totals served and settled is in ``earned``, as of ``earned_ms``.
credit_lines = Table(
    "credit_lines",
    metadata,
    Column("node", String(64), primary_key=True),
    Column("peer", String(64), primary_key=True),
    Column("earned", BigInteger, nullable=False),
    Column("earned_ms", BigInteger, nullable=False),
    Column("counted", BigInteger, nullable=False),
    Column("active_ms", BigInteger, nullable=False),
)

# What a peer got and did not sign for; gone when it signs, or when nothing is owed for it.
unsigned_jobs = Table(
    "unsigned_jobs",
    metadata,
    Column("node", String(64), primary_key=True),
    Column("peer", String(64), primary_key=True),
    Column("request_id", String(64), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("credits", BigInteger, nullable=False),
    Column("withheld", Boolean, nullable=False),
    Column("reason", String(512), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
