"""The table of open jobs. State, not a ledger: a row goes when its part has a countersigned receipt, or none is due."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from peernode.ledger.schema import metadata

# ``side`` is what ``node`` is in the job, ``peer`` the other party; ``credits`` the most that may still be owed.
open_jobs = Table(
    "open_jobs",
    metadata,
    Column("node", String(64), primary_key=True),
    Column("side", String(16), primary_key=True),
    Column("request_id", String(64), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("peer", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("terms", LargeBinary, nullable=False),
    Column("acknowledgement", LargeBinary, nullable=False),
    Column("credits", BigInteger, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("note", String(256), nullable=False),
    Index("open_jobs_by_request", "request_id"),
)
