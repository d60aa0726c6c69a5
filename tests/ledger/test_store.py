"""The receipt store on a real SQLite file."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from pathlib import Path

import pytest

from peernode.ledger import LedgerError, ReceiptConflict, ReceiptStore, Refusal
from peernode.wire.receipt import NO_PREVIOUS, SignedReceipt
from tests.samples import COORDINATOR, PROVIDER, countersigned, signed_receipt


@pytest.fixture
def provider(tmp_path: Path) -> ReceiptStore:
    return ReceiptStore.open(tmp_path / "provider.db", own=PROVIDER.peer_id)


@pytest.fixture
def coordinator(tmp_path: Path) -> ReceiptStore:
    return ReceiptStore.open(tmp_path / "coordinator.db", own=COORDINATOR.peer_id)


def append(store: ReceiptStore, request_id: str, *, now_ms: int = 1) -> SignedReceipt:
    return store.append(
        lambda seq, previous: signed_receipt(request_id=request_id, seq=seq, previous=previous), now_ms=now_ms
    )


def test_a_providers_receipts_form_a_chain(provider: ReceiptStore) -> None:
    first, second = append(provider, "req_1"), append(provider, "req_2")
    assert (first.receipt.seq, first.receipt.previous) == (1, NO_PREVIOUS)
    assert (second.receipt.seq, second.receipt.previous) == (2, first.digest)


def test_the_chain_has_no_gap_or_fork_under_concurrent_appends(provider: ReceiptStore) -> None:
    threads = [threading.Thread(target=append, args=(provider, f"req_{number}")) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chain = sorted((record.receipt for record in provider.list(limit=100)), key=lambda signed: signed.receipt.seq)
    assert [signed.receipt.seq for signed in chain] == list(range(1, 25))
    assert all(later.receipt.previous == sooner.digest for sooner, later in itertools.pairwise(chain))


def test_the_total_owed_only_grows_and_a_repeat_changes_nothing(coordinator: ReceiptStore) -> None:
    totals = []
    for number in (1, 2, 2):
        signed = signed_receipt(request_id=f"req_{number}", seq=number)
        made = coordinator.countersign(
            signed, lambda total, signed=signed: countersigned(signed, cumulative=total), now_ms=number
        )
        totals.append(made.countersignature.cumulative)
    each = signed_receipt().receipt.credits
    assert totals == [each, 2 * each, 2 * each]
    assert coordinator.owed(coordinator=COORDINATOR.peer_id, provider=PROVIDER.peer_id) == 2 * each


def test_a_second_receipt_for_one_job_is_a_conflict(coordinator: ReceiptStore) -> None:
    one, other = signed_receipt(), signed_receipt(seq=2, previous=b"x" * 32)
    coordinator.countersign(one, lambda total: countersigned(one, cumulative=total), now_ms=1)
    with pytest.raises(ReceiptConflict):
        coordinator.countersign(other, lambda total: countersigned(other, cumulative=total), now_ms=2)


def test_what_was_stored_is_found_with_its_countersignature(provider: ReceiptStore, tmp_path: Path) -> None:
    signed = append(provider, "req_1", now_ms=5)
    provider.add_countersignature(countersigned(signed), now_ms=6)
    provider.add_countersignature(countersigned(signed), now_ms=7)
    for store in (provider, ReceiptStore.open_readonly(tmp_path / "provider.db")):
        (record,) = store.find("req_1")
        assert (record.role, record.receipt, record.recorded_ms) == ("provider", signed, 5)
        assert record.countersignature == countersigned(signed)
        assert not store.find("req_2")


def test_a_refused_receipt_is_recorded_with_its_reason(coordinator: ReceiptStore) -> None:
    signed = signed_receipt()
    refusal = Refusal("req_x", 0, PROVIDER.peer_id, signed.raw, "receipt_refused", "credits: 9 billed", 1)
    coordinator.refuse(refusal, signed=signed)
    assert list(coordinator.refusals("req_x")) == list(coordinator.refusals()) == [refusal]
    (record,) = coordinator.find(signed.receipt.request_id)
    assert (record.refused, record.countersignature) == ("credits: 9 billed", None)


def test_bytes_that_are_no_receipt_are_recorded_all_the_same(coordinator: ReceiptStore) -> None:
    refusal = Refusal("req_x", 0, PROVIDER.peer_id, b"garbage", "receipt_refused", "not msgpack", 1)
    coordinator.refuse(refusal)
    assert list(coordinator.refusals("req_x")) == [refusal]
    assert not coordinator.find("req_x")


def test_an_interrupted_write_leaves_nothing(provider: ReceiptStore) -> None:
    def fails(seq: int, previous: bytes) -> SignedReceipt:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        provider.append(fails, now_ms=1)
    assert append(provider, "req_1").receipt.seq == 1


def test_lists_are_newest_first_and_paged(provider: ReceiptStore) -> None:
    for number in range(5):
        append(provider, f"req_{number}", now_ms=number)
    assert [record.request_id for record in provider.list(limit=2)] == ["req_4", "req_3"]
    assert [record.request_id for record in provider.list(limit=2, before_ms=3)] == ["req_2", "req_1"]


def test_files_that_are_no_ledger_are_refused_with_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "garbage.db").write_bytes(b"not a database" * 100)
    with pytest.raises(LedgerError):
        ReceiptStore.open(tmp_path / "garbage.db", own=PROVIDER.peer_id)
    with pytest.raises(LedgerError):
        ReceiptStore.open_readonly(tmp_path / "absent.db")
    with sqlite3.connect(tmp_path / "newer.db") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="another version"):
        ReceiptStore.open(tmp_path / "newer.db", own=PROVIDER.peer_id)


def test_the_file_is_private(provider: ReceiptStore, tmp_path: Path) -> None:
    assert (tmp_path / "provider.db").stat().st_mode & 0o077 == 0
