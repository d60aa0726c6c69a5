"""Opening the ledger's SQLite file: WAL, full sync (a commit is on the disk), one writer at a time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError

from peernode.ledger.errors import LedgerError
from peernode.ledger.schema import SCHEMA_VERSION, metadata

BUSY_TIMEOUT_MS = 10_000


def open_database(path: Path) -> Engine:
    """Open or create the ledger at ``path``. Raises LedgerError when it is not one, or of a newer version."""
    engine = create_engine(f"sqlite+pysqlite:///{path}", connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin_immediate)
    try:
        with engine.begin() as db:
            version = db.execute(text("PRAGMA user_version")).scalar_one()
            if version not in {0, SCHEMA_VERSION}:
                raise LedgerError(
                    "The ledger was written by another version of peernode.",
                    cause=f"schema {version} in {path}, this version knows {SCHEMA_VERSION}",
                    remedy="Run the version that wrote it, or point --home elsewhere.",
                )
            metadata.create_all(db)
            db.execute(text(f"PRAGMA user_version = {SCHEMA_VERSION}"))
    except DatabaseError as err:
        raise _unusable(path, err) from err
    path.chmod(0o600)
    return engine


def open_database_readonly(path: Path) -> Engine:
    """Open an existing ledger to read it, beside a running node if there is one. Raises LedgerError."""
    if not path.is_file():
        raise LedgerError(
            "There is no ledger here.",
            cause=f"{path} does not exist",
            remedy="Name the node's home directory with --home.",
        )
    engine = create_engine(f"sqlite+pysqlite:///file:{path}?mode=ro&uri=true")
    event.listen(engine, "connect", _configure_reader)
    try:
        with engine.connect() as db:
            db.execute(text("SELECT count(*) FROM receipts")).scalar_one()
    except DatabaseError as err:
        raise _unusable(path, err) from err
    return engine


def _unusable(path: Path, err: DatabaseError) -> LedgerError:
    return LedgerError(
        "The ledger's file cannot be read.", cause=f"{path}: {err.orig}", remedy="Restore it from a backup."
    )


def _configure(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event below starts transactions, not the driver
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _configure_reader(connection: sqlite3.Connection, _: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


def _begin_immediate(connection: Connection) -> None:
    # The write lock is taken at once: a transaction that reads and then writes cannot lose a race in between.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
