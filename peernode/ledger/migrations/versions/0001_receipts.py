"""Receipts, countersignatures and refusals, as they were before there were migrations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "receipts",
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("coordinator", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("recorded_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("receipts_by_request", "receipts", ["request_id", "part"])
    op.create_index("receipts_by_provider", "receipts", ["provider", "seq"])
    op.create_index("receipts_by_time", "receipts", ["recorded_ms"])
    op.create_table(
        "countersignatures",
        sa.Column("receipt_digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("coordinator", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("cumulative", sa.BigInteger, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("recorded_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("countersignatures_by_pair", "countersignatures", ["coordinator", "provider", "cumulative"])
    op.create_table(
        "refusals",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("receipt_digest", sa.LargeBinary(32), nullable=True),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(1024), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("refusals_by_request", "refusals", ["request_id", "part"])
    op.create_index("refusals_by_receipt", "refusals", ["receipt_digest"])
