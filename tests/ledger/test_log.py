"""The log of receipts on SQLite and on PostgreSQL: it grows with them, proves what it has, and notices any harm."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from peernode.ledger import ReceiptStore
from peernode.ledger.log import ReceiptLog
from peernode.ledger.log_errors import LogBroken
from peernode.ledger.log_verification import CHUNK, Verified, verify_log
from peernode.ledger.receipt_rows import add_receipt, last_of_chain
from peernode.wire.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from peernode.wire.merkle import EMPTY_ROOT, Frontier, check_consistency, check_inclusion, leaf_hash
from peernode.wire.receipt import SignedReceipt
from tests.samples import COORDINATOR, PROVIDER, countersigned, signed_receipt

SIZE = 67


@pytest.fixture
def store(where: str) -> Iterator[ReceiptStore]:
    opened = ReceiptStore.open(where, own=PROVIDER.peer_id)
    yield opened
    opened.close()


def fill(store: ReceiptStore, count: int) -> list[SignedReceipt]:
    return [
        store.append(
            lambda seq, previous: signed_receipt(request_id=f"req_{seq}", seq=seq, previous=previous), now_ms=1
        )
        for _ in range(count)
    ]


def checkpoint(size: int, root: bytes) -> SignedCheckpoint:
    return sign_checkpoint(Checkpoint("test", PROVIDER.peer_id, size, root, 7), PROVIDER)


def keep_checkpoint(log: ReceiptLog) -> SignedCheckpoint:
    return log.keep_checkpoint(checkpoint(*log.head()), now_ms=1)


def test_the_root_follows_every_receipt(store: ReceiptStore) -> None:
    log, naive = ReceiptLog(store.database), Frontier()
    assert log.head() == (0, EMPTY_ROOT)
    for size in range(1, SIZE + 1):
        naive.append(leaf_hash(fill(store, 1)[0].raw))
        assert log.head() == (size, naive.root())
    assert verify_log(store.database, whole=True) == Verified(0, SIZE, naive.root())


def test_proofs_of_every_receipt_and_between_all_sizes(store: ReceiptStore) -> None:
    signed, log = fill(store, SIZE), ReceiptLog(store.database)
    roots = {size: log.root(size) for size in range(1, SIZE + 1)}
    for each in signed:
        seq = each.receipt.seq
        check_inclusion(leaf_hash(each.raw), seq - 1, SIZE, log.inclusion(seq, SIZE), roots[SIZE])
    for old in range(1, SIZE + 1):
        check_consistency(old, SIZE, log.consistency(old, SIZE), roots[old], roots[SIZE])
    with pytest.raises(ValueError):
        log.inclusion(SIZE + 1, SIZE)
    with pytest.raises(LogBroken):
        log.root(SIZE + 1)


def test_an_append_that_fails_leaves_no_trace_in_the_tree(store: ReceiptStore) -> None:
    fill(store, 3)

    def fails(seq: int, previous: bytes) -> SignedReceipt:
        raise RuntimeError("the signer is gone")

    with pytest.raises(RuntimeError):
        store.append(fails, now_ms=1)
    fill(store, 1)
    assert verify_log(store.database, whole=True).size == 4


def test_what_is_not_the_next_receipt_does_not_enter_the_log(store: ReceiptStore) -> None:
    fill(store, 2)
    for seq in (1, 2, 4, 7):
        with pytest.raises(LogBroken):
            store.append(lambda _, previous, seq=seq: signed_receipt(seq=seq, previous=previous), now_ms=1)
    assert verify_log(store.database, whole=True).size == 2


def test_a_coordinators_ledger_has_no_log(tmp_path: Path) -> None:
    store = ReceiptStore.open(tmp_path / "coordinator.db", own=COORDINATOR.peer_id)
    signed = signed_receipt(seq=5)
    store.countersign(signed, lambda total: countersigned(signed, cumulative=total), now_ms=1)
    assert ReceiptLog(store.database).head() == (0, EMPTY_ROOT)
    assert verify_log(store.database, whole=True) == Verified(0, 0, EMPTY_ROOT)
    store.close()


def test_checkpoints_are_kept_one_for_each_size(store: ReceiptStore) -> None:
    log = ReceiptLog(store.database)
    assert log.newest_checkpoint() is None
    fill(store, 2)
    first = keep_checkpoint(log)
    assert log.keep_checkpoint(checkpoint(2, b"o" * 32), now_ms=2) == first
    fill(store, 3)
    second = keep_checkpoint(log)
    assert log.newest_checkpoint() == second
    assert log.checkpoints() == {2: first.checkpoint.root, 5: second.checkpoint.root}


def test_verification_at_start_begins_behind_the_newest_checkpoint(store: ReceiptStore) -> None:
    log = ReceiptLog(store.database)
    fill(store, 10)
    keep_checkpoint(log)
    fill(store, 3)
    assert verify_log(store.database) == Verified(10, *log.head())
    told: list[int] = []
    assert verify_log(store.database, whole=True, progress=told.append) == Verified(0, *log.head())
    assert told == [13]


def test_numbers_of_adverts_only_grow(store: ReceiptStore) -> None:
    log = ReceiptLog(store.database)
    assert log.advertised() == 0
    for seq, known in ((5, 5), (9, 9), (7, 9)):
        log.advertise(seq)
        assert log.advertised() == known


def harm(path: Path, *statements: str) -> None:
    """Change what the database refuses to change, as somebody with the file could."""
    with sqlite3.connect(path) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)
    db.close()


OTHER_CHECKPOINT = checkpoint(12, b"o" * 32).raw.hex()
# What was done, how, and whether the quick look at start must notice it.
HARMS: list[tuple[str, str, bool]] = [
    ("a receipt is gone", "DELETE FROM receipts WHERE seq = 7", False),
    ("the newest receipts are gone", "DELETE FROM receipts WHERE seq > 11", True),
    ("a receipt has a byte more", "UPDATE receipts SET raw = CAST(raw || x'00' AS BLOB) WHERE seq = 7", False),
    ("a receipt is another", "UPDATE receipts SET raw = (SELECT raw FROM receipts WHERE seq = 8) WHERE seq = 7", False),
    ("receipts are exchanged", "UPDATE receipts SET seq = 15 - seq WHERE seq IN (7, 8)", False),
    ("a digest differs", "UPDATE receipts SET digest = zeroblob(32) WHERE seq = 7", False),
    ("a node differs", "UPDATE log_nodes SET hash = zeroblob(32) WHERE level = 1 AND position = 1", False),
    ("a node is gone", "DELETE FROM log_nodes WHERE level = 1 AND position = 0", False),
    ("there is a node too many", "INSERT INTO log_nodes SELECT node, 9, 9, hash FROM log_nodes LIMIT 1", True),
    ("the top differs", "UPDATE log_nodes SET hash = zeroblob(32) WHERE level = 3", True),
    ("the checkpoint is another", f"UPDATE log_checkpoints SET raw = x'{OTHER_CHECKPOINT}'", True),
    ("the checkpoint is none", "UPDATE log_checkpoints SET raw = x'00'", True),
    ("a receipt after the checkpoint differs", "UPDATE receipts SET raw = x'00' WHERE seq = 14", True),
    ("only the tree knows of the last receipt", "DELETE FROM receipts WHERE seq = 14", True),
]


@pytest.mark.parametrize(("statement", "at_start"), [each[1:] for each in HARMS], ids=[each[0] for each in HARMS])
def test_harm_is_noticed(tmp_path: Path, statement: str, at_start: bool) -> None:
    path = tmp_path / "ledger.db"
    store = ReceiptStore.open(path, own=PROVIDER.peer_id)
    fill(store, 12)
    keep_checkpoint(ReceiptLog(store.database))
    fill(store, 2)
    verify_log(store.database)
    store.close()
    harm(path, statement)
    store = ReceiptStore.open(path, own=PROVIDER.peer_id)
    with pytest.raises(LogBroken):
        verify_log(store.database, whole=True)
    if at_start:
        with pytest.raises(LogBroken):
            verify_log(store.database)
    store.close()


def test_a_signature_that_is_not_this_nodes_is_noticed_by_the_whole_verification(tmp_path: Path) -> None:
    """The tree follows from what is there, and no checkpoint says otherwise; only signatures tell."""
    path = tmp_path / "ledger.db"
    store = ReceiptStore.open(path, own=PROVIDER.peer_id)
    fill(store, 1)
    raw = store.list()[0].receipt.raw
    store.close()
    harm(path, f"UPDATE receipts SET raw = x'{(raw[:-1] + bytes([raw[-1] ^ 1])).hex()}'")
    store = ReceiptStore.open(path, own=PROVIDER.peer_id)
    verify_log(store.database, whole=True)
    with pytest.raises(LogBroken, match="signature"):
        verify_log(store.database, whole=True, signatures=True)
    store.close()


def test_a_log_longer_than_a_chunk(store: ReceiptStore) -> None:
    def work(db: Connection) -> None:
        for _ in range(CHUNK + 70):
            seq, previous = last_of_chain(db)
            add_receipt(db, signed_receipt(request_id=f"req_{seq}", seq=seq + 1, previous=previous), 1)

    store.database.writer.run(work)
    assert verify_log(store.database, whole=True).size == CHUNK + 70


def test_a_ledger_from_before_there_was_a_log_gets_its_tree(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    store = ReceiptStore.open(path, own=PROVIDER.peer_id)
    fill(store, 21)
    root = ReceiptLog(store.database).head()
    store.close()
    before = {"receipts", "countersignatures", "refusals", "events", "postings", "balances", "holds", "alembic_version"}
    with sqlite3.connect(path) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    later = [name for name in names if name not in before and not name.startswith("sqlite_")]
    harm(path, *(f"DROP TABLE {name}" for name in later), "UPDATE alembic_version SET version_num = '0003'")
    store = ReceiptStore.open(path, own=PROVIDER.peer_id)
    assert ReceiptLog(store.database).head() == root
    assert verify_log(store.database, whole=True).size == 21
    fill(store, 3)
    assert verify_log(store.database, whole=True).size == 24
    store.close()
