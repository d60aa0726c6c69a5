"""The receipt store, on SQLite and PostgreSQL."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from peernode.ledger import Books, Event, Holds, LedgerError, Posting, ReceiptConflict, ReceiptStore, Refusal
from peernode.wire.countersignature import Countersignature, sign_countersignature
from peernode.wire.receipt import NO_PREVIOUS, SignedReceipt, sign_receipt
from tests.samples import COORDINATOR, PROVIDER, countersigned, signed_receipt


@pytest.fixture
def provider(where: str) -> Iterator[ReceiptStore]:
    store = ReceiptStore.open(where, own=PROVIDER.peer_id)
    yield store
    store.close()


@pytest.fixture
def coordinator(where: str) -> Iterator[ReceiptStore]:
    store = ReceiptStore.open(where, own=COORDINATOR.peer_id)
    yield store
    store.close()


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


def test_what_was_stored_is_found_with_its_countersignature(provider: ReceiptStore, where: str) -> None:
    signed = append(provider, "req_1", now_ms=5)
    provider.add_countersignature(countersigned(signed), now_ms=6)
    provider.add_countersignature(countersigned(signed), now_ms=7)
    for store in (provider, ReceiptStore.open_readonly(where)):
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


def test_the_file_is_private(tmp_path: Path) -> None:
    ReceiptStore.open(tmp_path / "ledger.db", own=PROVIDER.peer_id).close()
    assert (tmp_path / "ledger.db").stat().st_mode & 0o077 == 0


def test_two_nodes_that_share_a_database_have_receipts_of_their_own(where: str) -> None:
    provider, coordinator = (ReceiptStore.open(where, own=identity.peer_id) for identity in (PROVIDER, COORDINATOR))
    signed = append(provider, "req_1")
    made = coordinator.countersign(signed, lambda total: countersigned(signed, cumulative=total), now_ms=2)
    provider.add_countersignature(made, now_ms=3)
    assert [store.find("req_1")[0].role for store in (provider, coordinator)] == ["provider", "coordinator"]
    everything = ReceiptStore.open_readonly(where)
    assert len(everything.find("req_1")) == 2
    for store in (provider, coordinator, everything):
        store.close()


@pytest.mark.parametrize(("held", "taken", "spent"), [(0, 0, 4), (3, 3, 1), (4, 4, 0), (90, 4, 0)])
def test_a_receipt_takes_its_credits_from_its_hold_and_the_rest_is_the_operators(
    coordinator: ReceiptStore, held: int, taken: int, spent: int
) -> None:
    books, holds = Books(coordinator.database), Holds(coordinator.database)
    books.post(Event("grant", "grant", (Posting("granted", -100), Posting("client:anne", 100)), 1))
    signed = signed_receipt()
    request_id = signed.receipt.request_id
    assert signed.receipt.credits == 4
    holds.hold(request_id, "client:anne", held, 1)
    for _ in range(2):
        coordinator.countersign(signed, lambda total: countersigned(signed, cumulative=total), now_ms=2)
        assert books.balance("held:anne") == held - taken
        assert books.balance(f"peer:{PROVIDER.peer_id}:owed") == -4
        assert [books.balance(account) for account in ("spent", "bought", "redeemed")] == [spent, taken, taken]
    assert holds.release(request_id, 3) == held - taken
    assert books.balance("client:anne") == 100 - taken
    books.check()


def test_what_a_node_does_for_itself_is_income_and_expense_at_once(where: str) -> None:
    alone = ReceiptStore.open(where, own=PROVIDER.peer_id)
    made = append(alone, "req_1")
    own_job = sign_receipt(replace(made.receipt, coordinator=PROVIDER.peer_id, seq=2, previous=made.digest), PROVIDER)
    alone.append(lambda _seq, _previous: own_job, now_ms=1)
    body = Countersignature("test", PROVIDER.peer_id, PROVIDER.peer_id, own_job.digest, 4, 2)
    alone.countersign(own_job, lambda _total: sign_countersignature(body, PROVIDER), now_ms=2)
    books = Books(alone.database)
    assert books.balances() == {"income": -4, "spent": 4}
    books.check()
    alone.close()


def test_a_provider_is_owed_what_was_countersigned_and_once(provider: ReceiptStore) -> None:
    made = countersigned(append(provider, "req_1"))
    for _ in range(2):
        provider.add_countersignature(made, now_ms=2)
    books = Books(provider.database)
    assert books.balances() == {"income": -4, f"peer:{COORDINATOR.peer_id}:owes": 4}
    books.check()


def test_a_receipt_over_no_credits_is_kept_and_posts_nothing(coordinator: ReceiptStore) -> None:
    signed = signed_receipt(credits=0)
    coordinator.countersign(signed, lambda total: countersigned(signed, cumulative=total), now_ms=1)
    assert Books(coordinator.database).balances() == {}
    assert coordinator.find(signed.receipt.request_id)[0].countersignature is not None


def test_a_provider_keeps_the_countersignature_of_a_receipt_over_no_credits(provider: ReceiptStore) -> None:
    signed = provider.append(lambda seq, previous: signed_receipt(credits=0, seq=seq, previous=previous), now_ms=1)
    provider.add_countersignature(countersigned(signed), now_ms=2)
    assert Books(provider.database).balances() == {}
    assert provider.find(signed.receipt.request_id)[0].countersignature == countersigned(signed)
