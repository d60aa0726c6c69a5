"""Open jobs: there from the dispatch until the countersignature, and what may still be owed for them."""

from __future__ import annotations

from dataclasses import replace

from peernode.ledger import Database, ReceiptStore
from peernode.ledger.open_jobs import BROKEN, GIVEN_UP, OpenJob, OpenJobs, PartKey, pending_credits
from tests.samples import COORDINATOR, PROVIDER, countersigned, signed_receipt

RECEIPT = signed_receipt().receipt
KEY = PartKey("ordered", RECEIPT.request_id, RECEIPT.part, PROVIDER.peer_id)
JOB = OpenJob(KEY, terms=b"terms", credits=500, opened_ms=1_000, changed_ms=1_000)


def test_a_job_is_open_until_its_receipt_is_countersigned(database: Database) -> None:
    jobs, store = OpenJobs(database), ReceiptStore(database)
    jobs.open_soon(JOB).result()
    other = replace(JOB, key=replace(KEY, part=7))
    jobs.open_soon(other).result()
    store.countersign(signed_receipt(), lambda total: countersigned(signed_receipt(), cumulative=total), now_ms=2_000)
    assert jobs.all() == [other]
    assert jobs.find(KEY) is None


def test_a_providers_job_is_open_until_the_countersignature_comes(database: Database, place: object) -> None:
    own = Database.open(place(), own=PROVIDER.peer_id)  # type: ignore[operator]
    jobs, store = OpenJobs(own), ReceiptStore(own)
    key = PartKey("provided", RECEIPT.request_id, RECEIPT.part, COORDINATOR.peer_id)
    jobs.open_soon(replace(JOB, key=key)).result()
    store.append(lambda seq, previous: signed_receipt(), now_ms=1_500)
    assert jobs.find(key) == replace(JOB, key=key)
    store.add_countersignature(countersigned(signed_receipt()), now_ms=2_000)
    assert jobs.all() == []
    own.close()


def test_opening_again_keeps_what_is_there(database: Database) -> None:
    jobs = OpenJobs(database)
    jobs.open_soon(JOB).result()
    jobs.acknowledge_soon(KEY, b"so far", now_ms=1_100).result()
    jobs.open_soon(replace(JOB, terms=b"other")).result()
    assert jobs.find(KEY) == replace(JOB, acknowledgement=b"so far", changed_ms=1_100)


def test_what_may_still_be_owed(database: Database) -> None:
    jobs = OpenJobs(database)
    second = replace(JOB, key=replace(KEY, part=1), credits=300)
    for job in (JOB, second, replace(JOB, key=PartKey("provided", RECEIPT.request_id, 0, COORDINATOR.peer_id))):
        jobs.open_soon(job).result()
    assert jobs.pending_credits(RECEIPT.request_id) == 800
    jobs.break_soon(KEY, b"this much", 20, now_ms=1_200).result()
    broken = jobs.find(KEY)
    assert broken is not None
    assert (broken.state, broken.acknowledgement, broken.credits) == (BROKEN, b"this much", 20)
    assert jobs.pending_credits(RECEIPT.request_id) == 320
    assert database.writer.run(lambda db: pending_credits(db, RECEIPT.request_id)) == 320
    jobs.give_up_soon(second.key, "nobody came", now_ms=1_300).result()
    jobs.close_soon(KEY).result()
    assert jobs.pending_credits(RECEIPT.request_id) == 0
    assert [(job.state, job.note) for job in jobs.all() if job.key.side == "ordered"] == [(GIVEN_UP, "nobody came")]
    assert jobs.pending_credits("another") == 0


def test_changes_keep_their_order(database: Database) -> None:
    jobs = OpenJobs(database)
    jobs.open_soon(JOB)
    jobs.acknowledge_soon(KEY, b"one", now_ms=1_100)
    jobs.break_soon(KEY, b"two", 9, now_ms=1_200)
    last = jobs.close_soon(KEY)
    last.result()
    assert jobs.all() == []
