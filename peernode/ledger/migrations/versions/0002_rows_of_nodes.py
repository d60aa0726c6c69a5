"""Receipts name the node they belong to, so that nodes can share a database; they are never changed from now on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from peernode.ledger.migrations.immutable import keep_unchanged

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("receipts", "countersignatures", "refusals")
_INDEXES = {
    "receipts_by_request": ("receipts", ["request_id", "part"]),
    "receipts_by_provider": ("receipts", ["node", "provider", "seq"]),
    "receipts_by_time": ("receipts", ["recorded_ms"]),
    "countersignatures_by_pair": ("countersignatures", ["node", "coordinator", "provider", "cumulative"]),
    "refusals_by_request": ("refusals", ["request_id", "part"]),
    "refusals_by_receipt": ("refusals", ["receipt_digest"]),
}


def upgrade() -> None:
    for index, (table, _) in _INDEXES.items():
        op.drop_index(index, table)
    for table in _TABLES:
        op.rename_table(table, f"old_{table}")
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"ALTER INDEX {table}_pkey RENAME TO old_{table}_pkey")
    _create()
    for table in _TABLES:
        # A file held one node's rows until now: those of the node that opens it.
        columns = [column["name"] for column in sa.inspect(op.get_bind()).get_columns(f"old_{table}")]
        names = ", ".join(name for name in columns if name != "id")
        order = "id" if "id" in columns else "recorded_ms"
        copy = sa.text(f"INSERT INTO {table} (node, {names}) SELECT :own, {names} FROM old_{table} ORDER BY {order}")
        op.get_bind().execute(copy, {"own": context.config.attributes["own"]})
        op.drop_table(f"old_{table}")
    for index, (table, indexed) in _INDEXES.items():
        op.create_index(index, table, indexed)
    for table in _TABLES:
        keep_unchanged(table)


def _create() -> None:
    op.create_table(
        "receipts",
        sa.Column("node", sa.String(64), primary_key=True),
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
    op.create_table(
        "countersignatures",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("receipt_digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("coordinator", sa.String(64), nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("cumulative", sa.BigInteger, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("recorded_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "refusals",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("receipt_digest", sa.LargeBinary(32), nullable=True),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(1024), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger, nullable=False),
    )
