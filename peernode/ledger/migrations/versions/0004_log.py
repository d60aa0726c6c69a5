"""The log of receipts: its tree (of the receipts that are here already, too), checkpoints, and what others signed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from peernode.ledger.migrations.immutable import keep_unchanged
from peernode.wire.merkle import Frontier, leaf_hash

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "log_nodes",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("level", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "log_checkpoints",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("recorded_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "log_adverts",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "log_heads",
        sa.Column("id", _ROW_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("peer", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("log_heads_by_peer", "log_heads", ["node", "peer", "size"])
    op.create_table(
        "equivocations",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("peer", sa.String(64), primary_key=True),
        sa.Column("proof", sa.LargeBinary, nullable=False),
        sa.Column("found_ms", sa.BigInteger, nullable=False),
    )
    _grow_trees()
    for table in ("log_nodes", "log_checkpoints", "equivocations"):
        keep_unchanged(table)


def _grow_trees() -> None:
    """The nodes above receipts from before there was a log."""
    db = op.get_bind()
    own_receipts = sa.text("SELECT node, raw FROM receipts WHERE node = provider ORDER BY node, seq")
    insert = sa.text("INSERT INTO log_nodes (node, level, position, hash) VALUES (:node, :level, :position, :hash)")
    trees: dict[str, Frontier] = {}
    for row in db.execute(own_receipts).all():
        made = trees.setdefault(row.node, Frontier()).append(leaf_hash(row.raw))
        rows = [
            {"node": row.node, "level": level, "position": position, "hash": hashed}
            for (level, position), hashed in made
        ]
        if rows:
            db.execute(insert, rows)
