"""Tables of the ledger. Rows are only ever inserted; a fact that comes later is a row in a table of its own."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table

SCHEMA_VERSION = 1

metadata = MetaData()

receipts = Table(
    "receipts",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("request_id", String(64), nullable=False),
    Column("part", Integer, nullable=False),
    Column("role", String(16), nullable=False),
    Column("coordinator", String(64), nullable=False),
    Column("provider", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("credits", BigInteger, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Index("receipts_by_request", "request_id", "part"),
    Index("receipts_by_provider", "provider", "seq"),
    Index("receipts_by_time", "recorded_ms"),
)

countersignatures = Table(
    "countersignatures",
    metadata,
    Column("receipt_digest", LargeBinary(32), primary_key=True),
    Column("coordinator", String(64), nullable=False),
    Column("provider", String(64), nullable=False),
    Column("cumulative", BigInteger, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Index("countersignatures_by_pair", "coordinator", "provider", "cumulative"),
)

refusals = Table(
    "refusals",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("request_id", String(64), nullable=False),
    Column("part", Integer, nullable=False),
    Column("provider", String(64), nullable=False),
    Column("receipt_digest", LargeBinary(32), nullable=True),
    Column("raw", LargeBinary, nullable=False),
    Column("code", String(64), nullable=False),
    Column("reason", String(1024), nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Index("refusals_by_request", "request_id", "part"),
    Index("refusals_by_receipt", "receipt_digest"),
)
