"""The books: events and their postings, and what follows from them: balances and open holds."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa
from alembic import context, op

from peernode.ledger.migrations.immutable import keep_unchanged
from peernode.ledger.receipt_events import Share, given, taken
from peernode.wire.receipt import open_receipt

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
    _post_what_was_signed(context.config.attributes["own"])
    keep_unchanged("events")
    keep_unchanged("postings")


def _post_what_was_signed(own: str) -> None:
    """Receipts that were countersigned before there were books are posted now; none of them had a hold."""
    db = op.get_bind()
    balances: Counter[str] = Counter()
    for row in db.execute(_SIGNED, {"own": own}).all():
        signed = open_receipt(row.raw)
        if signed.receipt.coordinator == own:
            event = taken(signed, Share(), at_ms=row.recorded_ms)
        else:
            event = given(signed, at_ms=row.recorded_ms)
        if event is None:
            continue
        facts = {"key": event.key, "kind": event.kind, "about": event.about, "at_ms": event.at_ms}
        number = db.execute(_EVENT, {**facts, "node": own, "content": event.content}).scalar_one()
        for position, posting in enumerate(event.postings):
            moved = {"account": posting.account, "node": own, "amount": posting.amount}
            db.execute(_POSTING, {"number": number, "position": position, **moved})
            balances[posting.account] += posting.amount
    for account, amount in balances.items():
        db.execute(_BALANCE, {"account": account, "node": own, "amount": amount})


_SIGNED = sa.text(
    "SELECT receipts.raw, countersignatures.recorded_ms FROM receipts JOIN countersignatures "
    "ON countersignatures.node = receipts.node AND countersignatures.receipt_digest = receipts.digest "
    "WHERE receipts.node = :own ORDER BY countersignatures.recorded_ms"
)
_EVENT = sa.text(
    "INSERT INTO events (key, kind, about, note, node, content, at_ms) "
    "VALUES (:key, :kind, :about, '', :node, :content, :at_ms) RETURNING id"
)
_POSTING = sa.text(
    "INSERT INTO postings (event_id, position, account, node, amount) "
    "VALUES (:number, :position, :account, :node, :amount)"
)
_BALANCE = sa.text("INSERT INTO balances (account, node, amount) VALUES (:account, :node, :amount)")
