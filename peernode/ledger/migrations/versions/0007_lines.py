"""Credit between nodes: settlement notes, marks of peers, earned credit, and jobs that were not signed for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from peernode.ledger.migrations.immutable import keep_unchanged

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "settlement_notes",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("creditor", sa.String(64), primary_key=True),
        sa.Column("debtor", sa.String(64), primary_key=True),
        sa.Column("settled", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("reference", sa.String(256), nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("recorded_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "peer_marks",
        sa.Column("id", _ROW_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("peer", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(512), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("peer_marks_by_peer", "peer_marks", ["node", "peer", "id"])
    op.create_table(
        "note_deliveries",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("debtor", sa.String(64), primary_key=True),
        sa.Column("settled", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "credit_lines",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("peer", sa.String(64), primary_key=True),
        sa.Column("earned", sa.BigInteger, nullable=False),
        sa.Column("earned_ms", sa.BigInteger, nullable=False),
        sa.Column("counted", sa.BigInteger, nullable=False),
        sa.Column("active_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "unsigned_jobs",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("peer", sa.String(64), primary_key=True),
        sa.Column("request_id", sa.String(64), primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("withheld", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String(512), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    for table in ("settlement_notes", "peer_marks"):
        keep_unchanged(table)
