"""Bringing a ledger to this version: Alembic's revisions in ``versions``, each chained onto the one before.

A ledger from before there were migrations is recognised by SQLite's ``user_version``; a newer one is refused.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from peernode.ledger.errors import LedgerError

FIRST = "0001"
# Of a file: 0 new, 1 before there were migrations (it has what revision 0001 makes), 2 kept by Alembic.
_UNMANAGED, _MANAGED = 1, 2


def migrate(db: Connection, *, own: str) -> None:
    """Run what is missing, in the transaction of ``db``. ``own`` takes over rows from before rows named their node.

    Raises LedgerError when the ledger was written by a newer version.
    """
    # Slow to import, and needed once.
    from alembic.migration import MigrationContext  # noqa: PLC0415

    if db.dialect.name == "sqlite":
        _take_over(db)
    current = MigrationContext.configure(db).get_current_revision()
    known = chain()
    if current == known[-1]:
        return
    if current is not None and current not in known:
        raise _newer(f"revision {current}", known[-1])
    _upgrade(db, own)
    if db.dialect.name == "sqlite":
        db.execute(text(f"PRAGMA user_version = {_MANAGED}"))


@cache
def chain() -> tuple[str, ...]:
    """All revisions, the first one first. Alembic raises when there are two ends."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory(str(Path(__file__).parent))
    return tuple(script.revision for script in scripts.walk_revisions("base", "head"))[::-1]


def _upgrade(db: Connection, own: str) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = db
    config.attributes["own"] = own
    command.upgrade(config, "head")


def _take_over(db: Connection) -> None:
    """Stamp a file from before there were migrations."""
    from alembic.migration import MigrationContext  # noqa: PLC0415

    version = db.execute(text("PRAGMA user_version")).scalar_one()
    if version not in {0, _UNMANAGED, _MANAGED}:
        raise _newer(f"schema {version}", f"up to {_MANAGED}")
    if version == _UNMANAGED and "alembic_version" not in inspect(db).get_table_names():
        context = MigrationContext.configure(db)
        context._ensure_version_table()  # what `alembic stamp` calls
        db.execute(text("INSERT INTO alembic_version (version_num) VALUES (:first)"), {"first": FIRST})


def _newer(found: str, known: str) -> LedgerError:
    return LedgerError(
        "The ledger was written by another version of peernode.",
        cause=f"it has {found}, this version knows {known}",
        remedy="Run the version that wrote it, or point --home elsewhere.",
    )
