"""Alembic runs this file: the revisions, in the transaction of the connection that ``migrate`` handed over."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
