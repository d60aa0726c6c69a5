"""Opening a ledger: it is brought to this version without loss, and a newer one is left alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from peernode.ledger import Books, Database, LedgerError, ReceiptStore, Refusal, migrations
from peernode.ledger.events import INCOME, SPENT, owed, owes
from peernode.ledger.schema import metadata
from tests.ledger.conftest import Place
from tests.samples import COORDINATOR, PROVIDER, countersigned, signed_receipt

FACTS = ("receipts", "countersignatures", "refusals", "events", "postings")
# What versions before migrations wrote, as SQLite dumps it.
VERSION_1 = """
CREATE TABLE receipts (digest BLOB NOT NULL, request_id VARCHAR(64) NOT NULL, part INTEGER NOT NULL,
  role VARCHAR(16) NOT NULL, coordinator VARCHAR(64) NOT NULL, provider VARCHAR(64) NOT NULL, seq BIGINT NOT NULL,
  credits BIGINT NOT NULL, raw BLOB NOT NULL, recorded_ms BIGINT NOT NULL, PRIMARY KEY (digest));
CREATE INDEX receipts_by_provider ON receipts (provider, seq);
CREATE INDEX receipts_by_time ON receipts (recorded_ms);
CREATE INDEX receipts_by_request ON receipts (request_id, part);
CREATE TABLE countersignatures (receipt_digest BLOB NOT NULL, coordinator VARCHAR(64) NOT NULL,
  provider VARCHAR(64) NOT NULL, cumulative BIGINT NOT NULL, raw BLOB NOT NULL, recorded_ms BIGINT NOT NULL,
  PRIMARY KEY (receipt_digest));
CREATE INDEX countersignatures_by_pair ON countersignatures (coordinator, provider, cumulative);
CREATE TABLE refusals (id INTEGER NOT NULL, request_id VARCHAR(64) NOT NULL, part INTEGER NOT NULL,
  provider VARCHAR(64) NOT NULL, receipt_digest BLOB, raw BLOB NOT NULL, code VARCHAR(64) NOT NULL,
  reason VARCHAR(1024) NOT NULL, recorded_ms BIGINT NOT NULL, PRIMARY KEY (id));
CREATE INDEX refusals_by_request ON refusals (request_id, part);
CREATE INDEX refusals_by_receipt ON refusals (receipt_digest);
PRAGMA user_version = 1;
"""


def version_1(path: Path, *, own: str) -> list[bytes]:
    """A ledger of version 1 with three receipts, two of them countersigned; what was signed, in order."""
    db = sqlite3.connect(path)
    db.executescript(VERSION_1)
    signed, previous = [], bytes(32)
    for seq in (1, 2, 3):
        made = signed_receipt(request_id=f"req_{seq}", seq=seq, previous=previous)
        previous, receipt = made.digest, made.receipt
        role = "provider" if own == PROVIDER.peer_id else "coordinator"
        row = (made.digest, receipt.request_id, 0, role, receipt.coordinator, receipt.provider, seq, receipt.credits)
        db.execute("INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, made.raw, seq))
        signed.append(made.raw)
        if seq < 3:
            counter = countersigned(made, cumulative=seq * receipt.credits)
            pair = (receipt.coordinator, receipt.provider, seq * receipt.credits)
            db.execute(
                "INSERT INTO countersignatures VALUES (?, ?, ?, ?, ?, ?)", (made.digest, *pair, counter.raw, seq)
            )
    refusal = ("req_3", 0, PROVIDER.peer_id, previous, b"raw", "receipt_refused", "why", 3)
    db.execute("INSERT INTO refusals VALUES (7, ?, ?, ?, ?, ?, ?, ?, ?)", refusal)
    db.commit()
    db.close()
    return signed


@pytest.mark.parametrize("own", [COORDINATOR, PROVIDER], ids=["coordinator", "provider"])
def test_a_ledger_from_before_migrations_is_taken_over_without_loss(tmp_path, own) -> None:
    signed = version_1(tmp_path / "old.db", own=own.peer_id)
    store = ReceiptStore.open(tmp_path / "old.db", own=own.peer_id)
    found = sorted(store.list(), key=lambda record: record.recorded_ms)
    assert [record.receipt.raw for record in found] == signed
    assert [record.countersignature is not None for record in found] == [True, True, False]
    assert [record.refused for record in found] == ["", "", "why"]
    each = found[0].receipt.receipt.credits
    assert store.owed(coordinator=COORDINATOR.peer_id, provider=PROVIDER.peer_id) == 2 * each
    # What was countersigned before there were books is in them now.
    books = Books(store.database)
    books.check()
    if own is COORDINATOR:
        assert books.balances() == {owed(PROVIDER.peer_id): -2 * each, SPENT: 2 * each}
        again = found[0].receipt
        store.countersign(again, lambda total: countersigned(again, cumulative=total), now_ms=9)
    else:
        assert books.balances() == {owes(COORDINATOR.peer_id): 2 * each, INCOME: -2 * each}
        made = store.append(lambda seq, last: signed_receipt(request_id="req_4", seq=seq, previous=last), now_ms=9)
        assert (made.receipt.seq, made.receipt.previous) == (4, found[2].receipt.digest)
    store.close()
    again = ReceiptStore.open(tmp_path / "old.db", own=own.peer_id)
    assert Books(again.database).balances() == books.balances()
    again.close()


def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(place: Place, tmp_path: Path) -> None:
    where = place()
    opened = Database.open(where, own=COORDINATOR.peer_id)
    opened.writer.run(lambda db: db.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    opened.close()
    with pytest.raises(LedgerError, match="another version"):
        Database.open(where, own=COORDINATOR.peer_id)
    still = Database.open_readonly(where)
    with still.reader() as db:
        assert db.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["9999"]
    still.close()


def test_a_version_before_migrations_refuses_what_this_one_wrote(tmp_path: Path) -> None:
    Database.open(tmp_path / "new.db", own=COORDINATOR.peer_id).close()
    with sqlite3.connect(tmp_path / "new.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_ledger_that_a_newer_node_has_not_opened_yet_says_so_to_readers(tmp_path: Path) -> None:
    version_1(tmp_path / "old.db", own=COORDINATOR.peer_id)
    with pytest.raises(LedgerError, match="start its node once"):
        Database.open_readonly(tmp_path / "old.db")


def test_migrations_make_what_the_tables_say(database: Database) -> None:
    with database.reader() as db:
        assert compare_metadata(MigrationContext.configure(db, opts={"compare_type": True}), metadata) == []


def test_migrations_are_one_chain() -> None:
    assert migrations.chain()[0] == migrations.FIRST
    assert len(set(migrations.chain())) == len(list(Path(migrations.__file__).parent.glob("versions/[0-9]*.py")))


ALL_AT_ONCE = {"sqlite": "INSERT OR REPLACE INTO {0} SELECT * FROM {0}", "postgresql": "TRUNCATE {0} CASCADE"}


@pytest.mark.parametrize("table", FACTS)
@pytest.mark.parametrize("change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "all at once"])
def test_the_database_itself_refuses_to_change_facts(database: Database, table: str, change: str) -> None:
    store = ReceiptStore(database)
    signed = signed_receipt()
    store.countersign(signed, lambda total: countersigned(signed, cumulative=total), now_ms=1)
    store.refuse(Refusal("req_x", 0, PROVIDER.peer_id, b"x", "receipt_refused", "why", 1))
    column = next(iter(metadata.tables[table].primary_key.columns)).name
    with database.reader() as db:
        statement = ALL_AT_ONCE.get(db.dialect.name if change == "all at once" else "", change).format(table, column)
        before = db.execute(text(f"SELECT * FROM {table}")).all()
    assert before
    with pytest.raises(IntegrityError, match="never changed or deleted"):
        database.writer.run(lambda db: db.execute(text(statement)))
    with database.reader() as db:
        assert db.execute(text(f"SELECT * FROM {table}")).all() == before


def test_nothing_is_written_by_a_reader(database: Database) -> None:
    with database.reader() as db:
        if db.dialect.name == "postgresql":
            with pytest.raises(Exception, match="read-only"):
                db.execute(text("DELETE FROM balances"))


def test_a_url_that_is_of_no_use_is_said_without_its_password() -> None:
    for url in ("mysql://peernode:geheim@127.0.0.1/ledger", "postgresql://peernode:geheim@127.0.0.1:1/ledger"):
        with pytest.raises(LedgerError) as refused:
            Database.open(url, own=COORDINATOR.peer_id)
        assert "geheim" not in str(refused.value)
        assert refused.value.remedy
