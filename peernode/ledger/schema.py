"""Tables of the ledger.

Facts (receipts, countersignatures, refusals, events, postings) are only ever inserted: the database itself refuses to
change or delete them. A fact that comes later is a row in a table of its own. Balances and holds are projections of the
events. In a database that several nodes share, ``node`` is the peer id of the one a row belongs to; clients' accounts
belong to all of them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite numbers rows by itself only in a column of exactly this type.
ROW_NUMBER = BigInteger().with_variant(Integer, "sqlite")

receipts = Table(
    "receipts",
    metadata,
    Column("node", String(64), primary_key=True),
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
    Index("receipts_by_provider", "node", "provider", "seq"),
    Index("receipts_by_time", "recorded_ms"),
)

countersignatures = Table(
    "countersignatures",
    metadata,
    Column("node", String(64), primary_key=True),
    Column("receipt_digest", LargeBinary(32), primary_key=True),
    Column("coordinator", String(64), nullable=False),
    Column("provider", String(64), nullable=False),
    Column("cumulative", BigInteger, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Index("countersignatures_by_pair", "node", "coordinator", "provider", "cumulative"),
)

refusals = Table(
    "refusals",
    metadata,
    Column("id", ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("node", String(64), nullable=False),
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

# ``content`` is the digest of what the event says (kind, about, postings): the same key may not say two things.
events = Table(
    "events",
    metadata,
    Column("id", ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("key", String(200), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("about", String(128), nullable=False),
    Column("note", String(512), nullable=False),
    Column("node", String(64), nullable=False),
    Column("content", LargeBinary(32), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    UniqueConstraint("key", name="events_key"),
    Index("events_by_about", "about"),
)

# ``node`` is empty for accounts that all nodes of a database share.
postings = Table(
    "postings",
    metadata,
    Column("event_id", ROW_NUMBER, ForeignKey("events.id", name="postings_event"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("node", String(64), nullable=False),
    Column("account", String(200), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Index("postings_by_account", "account", "node", "event_id"),
)

balances = Table(
    "balances",
    metadata,
    Column("account", String(200), primary_key=True),
    Column("node", String(64), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    CheckConstraint("amount BETWEEN -4000000000000000000 AND 4000000000000000000", name="balances_in_range"),
    CheckConstraint("amount >= 0 OR account NOT LIKE 'held:%'", name="balances_held_is_there"),
)

# Open holds only: ``held`` is what is left of one, and a hold of nothing is gone.
holds = Table(
    "holds",
    metadata,
    Column("request_id", String(128), primary_key=True),
    Column("account", String(200), nullable=False),
    Column("node", String(64), nullable=False),
    Column("held", BigInteger, nullable=False),
    CheckConstraint("held > 0", name="holds_hold_something"),
)
