"""How many credits may be granted: to all keys together, and to each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "credit_supply",
        sa.Column("scope", sa.String(16), primary_key=True),
        sa.Column("most", sa.BigInteger, nullable=False),
    )
