"""The writer: many works to a commit, each undone alone, none acknowledged before it is durable."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import OperationalError

from peernode.ledger import Books, Database, LedgerError, LedgerUnavailable, Writer, post
from peernode.ledger.events import client
from tests.ledger.test_books import granted


@pytest.fixture
def commits() -> Iterator[list[None]]:
    """One entry for each commit of any engine."""
    seen: list[None] = []

    def count(_: Connection) -> None:
        seen.append(None)

    event.listen(Engine, "commit", count)
    yield seen
    event.remove(Engine, "commit", count)


class Gate:
    """A work that holds the writer until it is opened, so that what comes meanwhile goes into one commit."""

    def __init__(self, writer: Writer) -> None:
        self._open, entered = threading.Event(), threading.Event()

        def wait(_: Connection) -> None:
            entered.set()
            assert self._open.wait(10)

        self.passed = writer.submit(wait)
        assert entered.wait(10)

    def open(self) -> None:
        self._open.set()


def test_works_that_wait_together_are_committed_together(database: Database, commits: list[None]) -> None:
    gate = Gate(database.writer)
    done = [database.writer.submit(lambda db, n=number: post(db, granted(n))) for number in range(1, 101)]
    gate.open()
    assert all(future.result(10) for future in done)
    assert len(commits) == 2
    assert Books(database).balance(client("a")) == 100 * 100


def test_a_work_that_fails_undoes_itself_and_no_other(database: Database) -> None:
    def breaks(db: Connection) -> None:
        post(db, granted(2))
        raise RuntimeError("no")

    def violates(db: Connection) -> None:
        post(db, granted(3))
        db.execute(text("INSERT INTO balances (account, node, amount) VALUES ('client:a', '', 1)"))

    gate = Gate(database.writer)
    works = [lambda db: post(db, granted(1)), breaks, violates, lambda db: post(db, granted(4))]
    first, second, third, fourth = (database.writer.submit(work) for work in works)
    gate.open()
    assert first.result(10)
    assert fourth.result(10)
    with pytest.raises(RuntimeError, match="no"):
        second.result(10)
    assert third.exception(10) is not None
    books = Books(database)
    assert [entry.key for entry in books.history(client("a"))] == ["grant:4", "grant:1"]
    books.check()


def test_nobody_hears_of_success_before_the_commit(database: Database) -> None:
    order: list[str] = []

    def committing(_: Connection) -> None:
        order.append("durable" if not future.done() else "too early")

    gate = Gate(database.writer)
    future = database.writer.submit(lambda db: post(db, granted()))
    event.listen(Engine, "commit", committing)
    try:
        gate.open()
        assert future.result(10)
    finally:
        event.remove(Engine, "commit", committing)
    assert order[-1] == "durable"


def test_when_the_database_fails_every_work_of_the_commit_does_and_the_next_go_on(database: Database) -> None:
    def full(_: Connection) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk is full"))

    gate = Gate(database.writer)
    works = [database.writer.submit(lambda db, n=number: post(db, granted(n))) for number in (1, 2)]
    event.listen(Engine, "commit", full)
    try:
        gate.open()
        for future in (gate.passed, *works):
            with pytest.raises(LedgerUnavailable, match="disk is full"):
                future.result(10)
    finally:
        event.remove(Engine, "commit", full)
    books = Books(database)
    assert books.balances() == {}
    assert books.post(granted(1))
    books.check()


def test_a_work_that_is_no_longer_wanted_is_not_run(database: Database) -> None:
    gate = Gate(database.writer)
    unwanted = database.writer.submit(lambda db: post(db, granted(1)))
    wanted = database.writer.submit(lambda db: post(db, granted(2)))
    assert unwanted.cancel()
    gate.open()
    assert wanted.result(10)
    assert [entry.key for entry in Books(database).history(client("a"))] == ["grant:2"]


def test_closing_writes_what_was_submitted_and_takes_no_more(where: str) -> None:
    database = Database.open(where, own="")
    futures = [database.writer.submit(lambda db, n=number: post(db, granted(n))) for number in range(1, 301)]
    database.close()
    database.close()
    assert all(future.result(0) for future in futures)
    with pytest.raises(LedgerError, match="closed"):
        database.writer.submit(lambda _: None)


def test_a_work_that_waits_for_another_is_a_mistake_and_no_deadlock(database: Database) -> None:
    with pytest.raises(RuntimeError, match="may not wait"):
        database.writer.run(lambda _: database.writer.run(lambda _: None))


def test_a_ledger_that_was_never_written_to_closes(tmp_path: Path) -> None:
    Database.open(tmp_path / "ledger.db", own="").close()
