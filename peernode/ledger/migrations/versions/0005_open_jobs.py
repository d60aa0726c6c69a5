"""Open jobs: parts of jobs with other nodes that are not yet settled."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "open_jobs",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("side", sa.String(16), primary_key=True),
        sa.Column("request_id", sa.String(64), primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("peer", sa.String(64), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("terms", sa.LargeBinary, nullable=False),
        sa.Column("acknowledgement", sa.LargeBinary, nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("opened_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_ms", sa.BigInteger, nullable=False),
        sa.Column("note", sa.String(256), nullable=False),
    )
    op.create_index("open_jobs_by_request", "open_jobs", ["request_id"])
