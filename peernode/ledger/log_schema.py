"""Tables of the log of receipts: its Merkle tree, this node's checkpoints, and what other nodes signed of theirs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from peernode.ledger.schema import ROW_NUMBER, metadata

# Complete subtrees by place (``wire.merkle``), from level 1 on: the leaves are the receipts themselves.
log_nodes = Table(
    "log_nodes",
    metadata,
    Column("node", String(64), primary_key=True),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary(32), nullable=False),
    sqlite_with_rowid=False,
)

log_checkpoints = Table(
    "log_checkpoints",
    metadata,
    Column("node", String(64), primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
)

# The highest number of an advert that spoke of the log: on disk before the advert leaves, so that the numbers of such
# adverts are in the order of what they say even when the clock is set back.
log_adverts = Table(
    "log_adverts",
    metadata,
    Column("node", String(64), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

# What other peers signed of their logs; ``kind`` and ``raw`` are the signed word. Bounded, the oldest are forgotten.
log_heads = Table(
    "log_heads",
    metadata,
    Column("id", ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("node", String(64), nullable=False),
    Column("peer", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Index("log_heads_by_peer", "node", "peer", "size"),
)

# Peers of whom there is proof that their log is not one log; the first proof of each.
equivocations = Table(
    "equivocations",
    metadata,
    Column("node", String(64), primary_key=True),
    Column("peer", String(64), primary_key=True),
    Column("proof", LargeBinary, nullable=False),
    Column("found_ms", BigInteger, nullable=False),
)
