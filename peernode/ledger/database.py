"""The ledger's database: SQLite in a file (WAL, full sync), or PostgreSQL by URL; opening migrates it to this version.

One transaction writes at a time, in SQLite by its lock and in PostgreSQL by an advisory lock: works may read, decide
and write without races, also beside other nodes. Readers never wait.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from peernode.ledger.errors import LedgerError
from peernode.ledger.migrations import migrate
from peernode.ledger.writer import Writer

BUSY_TIMEOUT_MS = 10_000
# Names the lock among all advisory locks of a PostgreSQL database: "peernode", roughly.
_WRITE_LOCK = 0x70656572_6E6F6465
# An edge that hangs with the lock in its hand loses it.
_POSTGRESQL_OPTIONS = "-c idle_in_transaction_session_timeout=30s -c lock_timeout=30s -c synchronous_commit=on"


class Database:
    """An open ledger. ``own`` is the peer id of the node whose rows are read and written; "" reads those of all."""

    def __init__(self, engine: Engine, *, own: str) -> None:
        self._engine = engine.execution_options(own=own)
        reading: dict[str, Any] = {"reading": True}
        if engine.dialect.name == "postgresql":
            # As in SQLite: all of a reader's queries see one state.
            reading |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reading = self._engine.execution_options(**reading)
        self.own = own
        self.writer = Writer(self._writing)

    @classmethod
    def open(cls, where: Path | str, *, own: str) -> Database:
        """Open or create, and bring to this version. ``where``: a file, or a URL like postgresql://user@host/name.

        Raises LedgerError when it cannot be used, or was written by a newer version.
        """
        url = _url_of(where)
        engine = _engine(url)
        try:
            with _write(engine) as db:
                migrate(db, own=own)
        except SQLAlchemyError as err:
            engine.dispose()
            raise _unusable(url, err) from err
        except LedgerError:
            engine.dispose()
            raise
        if url.get_backend_name() == "sqlite":
            Path(str(url.database)).chmod(0o600)
        return cls(engine, own=own)

    @classmethod
    def open_readonly(cls, where: Path | str, *, own: str = "") -> Database:
        """Open one that exists to read it, beside a running node if there is one. Raises LedgerError."""
        url = _url_of(where)
        in_file = url.get_backend_name() == "sqlite"
        engine = _sqlite_reader(Path(str(url.database))) if in_file else _engine(url)
        database = cls(engine, own=own)
        try:
            with database.reader() as db:
                db.execute(text("SELECT count(*) FROM events WHERE id = 0")).scalar_one()
        except SQLAlchemyError as err:
            engine.dispose()
            raise _unusable(url, err) from err
        return database

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """A connection that reads one consistent state."""
        with self._reading.connect() as db:
            if db.dialect.name == "sqlite":
                db.exec_driver_sql("BEGIN")
            yield db

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _write(self._engine) as db:
            yield db

    def close(self) -> None:
        """Write what was submitted, and close. Again does nothing."""
        self.writer.close()
        self._engine.dispose()


def own_of(db: Connection) -> str:
    """The node in whose name ``db`` writes."""
    own = db.get_execution_options()["own"]
    assert isinstance(own, str)
    return own


def _url_of(where: Path | str) -> URL:
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite+pysqlite", database=str(where))
    try:
        url = make_url(where)
    except ArgumentError as err:
        raise LedgerError("The ledger's URL cannot be read.", remedy="postgresql://USER@HOST/NAME") from err
    if url.get_backend_name() != "postgresql":
        raise LedgerError(
            "A ledger is kept in a file or in PostgreSQL.",
            cause=f"the URL is for {url.get_backend_name()}",
            remedy="Use postgresql://USER@HOST/NAME, or leave ledger_url empty.",
        )
    return url.set(drivername="postgresql+psycopg")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"check_same_thread": False})
        event.listen(engine, "connect", _configure_sqlite)
        return engine
    return create_engine(url, pool_pre_ping=True, connect_args={"options": _POSTGRESQL_OPTIONS, "connect_timeout": 10})


def _sqlite_reader(path: Path) -> Engine:
    if not path.is_file():
        raise LedgerError(
            "There is no ledger here.",
            cause=f"{path} does not exist",
            remedy="Name the node's home directory with --home.",
        )
    engine = create_engine(
        f"sqlite+pysqlite:///file:{path}?mode=ro&uri=true", connect_args={"check_same_thread": False}
    )
    event.listen(engine, "connect", _configure_sqlite_reader)
    return engine


def _unusable(url: URL, err: SQLAlchemyError) -> LedgerError:
    where = url.render_as_string(hide_password=True)
    cause = f"{url.database if url.get_backend_name() == 'sqlite' else where}: {getattr(err, 'orig', err)}".strip()
    if "no such table" in cause or "does not exist" in cause:
        remedy = "It may be of an older version: start its node once, which brings it to this one."
    elif url.get_backend_name() == "sqlite":
        remedy = "Restore it from a backup."
    else:
        remedy = "Look whether the server runs, and whether ledger_url names it rightly."
    return LedgerError("The ledger cannot be read.", cause=cause, remedy=remedy)


def _configure_sqlite(connection: sqlite3.Connection, _: object) -> None:
    _configure_sqlite_reader(connection, _)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # REPLACE deletes, too: with this the triggers that refuse to delete facts see it.
    connection.execute("PRAGMA recursive_triggers = ON")


def _configure_sqlite_reader(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


@contextmanager
def _write(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds the write lock from its begin: what it reads is still so when it writes.

    (A listener to the engine's "begin" would do the same, and make every statement slower.)
    """
    with engine.begin() as db:
        if db.dialect.name == "sqlite":
            db.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            db.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")
        yield db
