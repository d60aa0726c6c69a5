"""Rows of credit between nodes: totals, notes and their deliveries, unsigned jobs, marks, and vouchers too low."""

from __future__ import annotations

from dataclasses import replace

import pytest

from peernode.ledger import Books, Database, ReceiptStore
from peernode.ledger.errors import VoucherTooLow
from peernode.ledger.events import SETTLED, owed, owes
from peernode.ledger.line_records import Earned, Mark, Totals, UnsignedJob
from peernode.ledger.lines import Lines
from peernode.ledger.settlements import Settlements
from peernode.wire.countersignature import Countersignature, SignedCountersignature, sign_countersignature
from peernode.wire.identity import Identity
from peernode.wire.receipt import SignedReceipt, sign_receipt
from peernode.wire.settlement_note import SettlementNote, SignedSettlementNote, sign_settlement_note
from tests.ledger.conftest import Place
from tests.samples import COORDINATOR, PROVIDER, STRANGER, receipt

NOW = 1_800_000_000_000


def voucher(signed: SignedReceipt, cumulative: int) -> SignedCountersignature:
    body = signed.receipt
    made = Countersignature(body.network, body.coordinator, body.provider, signed.digest, cumulative, NOW)
    return sign_countersignature(made, COORDINATOR)


def note_by(creditor: Identity, debtor: str, amount: int, so_far: int = 0, reference: str = "") -> SignedSettlementNote:
    body = SettlementNote("test", creditor.peer_id, debtor, so_far + amount, amount, reference, NOW)
    return sign_settlement_note(body, creditor)


class Provider:
    """The samples' provider with receipts of its own over so many credits each."""

    def __init__(self, where: str) -> None:
        self.database = Database.open(where, own=PROVIDER.peer_id)
        self.store = ReceiptStore(self.database)
        self.lines, self.settlements = Lines(self.database), Settlements(self.database)
        self.books = Books(self.database)

    def bill(self, number: int, amount: int) -> SignedReceipt:
        def build(seq: int, previous: bytes) -> SignedReceipt:
            body = replace(receipt(), request_id=f"req_{number}", seq=seq, previous=previous, credits=amount)
            return sign_receipt(body, PROVIDER)

        return self.store.append(build, now_ms=NOW)

    def take(self, signed: SignedReceipt, cumulative: int) -> None:
        self.store.add_countersignature(voucher(signed, cumulative), now_ms=NOW)


def test_totals_are_those_of_the_newest_vouchers_in_each_direction(place: Place) -> None:
    provider = Provider(place())
    first, second = provider.bill(1, 30), provider.bill(2, 12)
    provider.take(second, 42)
    provider.take(first, 30)  # late, behind a newer one
    assert provider.lines.totals() == [Totals(COORDINATOR.peer_id, given=42)]
    coordinator = Database.open(place(), own=COORDINATOR.peer_id)
    ReceiptStore(coordinator).countersign(first, lambda total: voucher(first, total), now_ms=NOW)
    ReceiptStore(coordinator).countersign(second, lambda total: voucher(second, total), now_ms=NOW + 5)
    assert Lines(coordinator).totals() == [Totals(PROVIDER.peer_id, taken=42)]
    assert Lines(coordinator).service_of(PROVIDER.peer_id) == [(30, NOW), (42, NOW + 5)]


@pytest.mark.parametrize(
    ("totals", "short"),
    [((30, 42), None), ((30, 41), 1), ((29, 42), 0), ((1000, 30), None), ((30, 30), 1)],
)
def test_a_total_below_what_was_signed_for_is_refused(place: Place, totals: tuple[int, int], short: int | None) -> None:
    provider = Provider(place())
    for number, (amount, total) in enumerate(zip((30, 12), totals, strict=True)):
        signed = provider.bill(number, amount)
        if short == number:
            with pytest.raises(VoucherTooLow):
                provider.take(signed, total)
            assert provider.store.find(f"req_{number}")[0].countersignature is None
        else:
            provider.take(signed, total)


def test_a_settlement_does_not_make_room_for_a_lower_total(place: Place) -> None:
    provider = Provider(place())
    provider.take(provider.bill(1, 30), 30)
    provider.settlements.settle(
        lambda so_far: note_by(PROVIDER, COORDINATOR.peer_id, 30, so_far), COORDINATOR.peer_id, now_ms=NOW
    )
    with pytest.raises(VoucherTooLow):
        provider.take(provider.bill(2, 12), 12)
    provider.take(provider.bill(3, 12), 42)


def test_a_note_is_posted_on_both_sides_and_only_once(place: Place) -> None:
    creditor = Provider(place())
    debtor = Database.open(place(), own=COORDINATOR.peer_id)
    kept = Settlements(debtor)
    notes = []
    for amount in (700, 300):

        def build(so_far: int, amount: int = amount) -> SignedSettlementNote:
            return note_by(PROVIDER, COORDINATOR.peer_id, amount, so_far, f"invoice {amount}")

        notes.append(creditor.settlements.settle(build, COORDINATOR.peer_id, now_ms=NOW))
    assert [note.note.settled for note in notes] == [700, 1000]
    assert creditor.books.balance(owes(COORDINATOR.peer_id)) == -1000
    assert creditor.books.balance(SETTLED) == 1000
    # The second comes first, the first late, and then each again.
    assert [kept.post_note(note, now_ms=NOW) for note in (notes[1], notes[0], notes[1])] == [1000, 1000, 1000]
    assert Books(debtor).balance(owed(PROVIDER.peer_id)) == 1000
    assert Lines(debtor).totals() == [Totals(PROVIDER.peer_id, repaid=1000)]
    assert creditor.lines.totals() == [Totals(COORDINATOR.peer_id, paid=1000)]
    assert [note.reference for note in creditor.settlements.notes(COORDINATOR.peer_id)] == [
        "invoice 300",
        "invoice 700",
    ]
    creditor.books.check()
    Books(debtor).check()


def test_only_the_newest_note_waits_to_be_delivered(place: Place) -> None:
    creditor = Provider(place())
    for debtor, amount in ((COORDINATOR, 5), (COORDINATOR, 6), (STRANGER, 7)):
        creditor.settlements.settle(
            lambda so_far, debtor=debtor, amount=amount: note_by(PROVIDER, debtor.peer_id, amount, so_far),
            debtor.peer_id,
            now_ms=NOW,
        )
    waiting = {note.debtor: note.settled for note in creditor.settlements.undelivered()}
    assert waiting == {COORDINATOR.peer_id: 11, STRANGER.peer_id: 7}
    creditor.settlements.delivered(COORDINATOR.peer_id, 11)
    assert [note.debtor for note in creditor.settlements.undelivered()] == [STRANGER.peer_id]


def test_a_job_that_is_countersigned_is_not_unsigned_whatever_was_noted(place: Place) -> None:
    provider = Provider(place())
    for number in (1, 2):
        job = UnsignedJob(f"req_{number}", 0, COORDINATOR.peer_id, 30, True, "the receipt was refused", NOW)
        provider.lines.soon_leave_unsigned(job)
        signed = provider.bill(number, 30)
    provider.take(signed, 60)
    assert [job.request_id for job in provider.lines.unsigned()] == ["req_1"]


def test_what_is_kept_of_a_peer_is_replaced_and_what_it_did_is_not(database: Database) -> None:
    lines = Lines(database)
    for earned in (1, 2):
        lines.soon_keep(Earned("peer", earned, NOW, earned, NOW))
    job = UnsignedJob("req_1", 0, "peer", 9, False, "the stream broke off", NOW)
    lines.soon_leave_unsigned(job)
    lines.soon_leave_unsigned(replace(job, withheld=True))
    lines.soon_leave_unsigned(replace(job, request_id="req_2"))
    lines.soon_leave_unsigned(replace(job, peer="other", withheld=True))
    lines.soon_sign("peer", "req_2", 0)
    lines.soon_sign("other", "req_1", 0)
    for reason in ("first", "second"):
        lines.soon_mark(Mark("peer", "withheld", reason, "req_1", NOW))
    database.writer.run(lambda db: None)  # all before it is on the disk
    assert lines.earned() == [Earned("peer", 2, NOW, 2, NOW)]
    assert lines.unsigned() == [replace(job, withheld=True)]
    assert [mark.reason for mark in lines.marks()] == ["second", "first"]
    assert lines.marks(since_ms=NOW + 1) == []
