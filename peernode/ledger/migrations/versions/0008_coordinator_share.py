"""The share of a client's request that its coordinator keeps, as it was when the request began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("client_requests", sa.Column("fee_ppm", sa.Integer, nullable=False, server_default="0"))
