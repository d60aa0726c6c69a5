"""The books: events and their postings, and what follows from them: balances and open holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from peernode.ledger.migrations.immutable import keep_unchanged

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", _ROW_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("about", sa.String(128), nullable=False),
        sa.Column("note", sa.String(512), nullable=False),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary(32), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("key", name="events_key"),
    )
    op.create_index("events_by_about", "events", ["about"])
    op.create_table(
        "postings",
        sa.Column("event_id", _ROW_NUMBER, sa.ForeignKey("events.id", name="postings_event"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("account", sa.String(200), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
    op.create_index("postings_by_account", "postings", ["account", "node", "event_id"])
    op.create_table(
        "balances",
        sa.Column("account", sa.String(200), primary_key=True),
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.CheckConstraint("amount BETWEEN -4000000000000000000 AND 4000000000000000000", name="balances_in_range"),
        sa.CheckConstraint("amount >= 0 OR account NOT LIKE 'held:%'", name="balances_held_is_there"),
    )
    op.create_table(
        "holds",
        sa.Column("request_id", sa.String(128), primary_key=True),
        sa.Column("account", sa.String(200), nullable=False),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.CheckConstraint("held > 0", name="holds_hold_something"),
    )
    keep_unchanged("events")
    keep_unchanged("postings")
