"""Genuine words about money that come again, late, or in place of others, brought to ledgers that have all of them.

Whatever is brought, the books, the totals and the log stay as they are, or the promise is broken.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mutations import Broken
from sqlalchemy import Connection
from vector_values import COORDINATOR, NETWORK, PROVIDER, RECEIPT

from peernode.errors import PeernodeError
from peernode.ledger import Books, ReceiptStore
from peernode.ledger.log import ReceiptLog
from peernode.ledger.receipt_rows import add_receipt
from peernode.ledger.restoration import restore
from peernode.ledger.settlements import Settlements
from peernode.ledger.store import add_countersignature
from peernode.market.recovery.provided import check_countersignature
from peernode.wire.countersignature import Countersignature, SignedCountersignature, sign_countersignature
from peernode.wire.receipt import SignedReceipt, sign_receipt
from peernode.wire.settlement_note import SettlementNote, SignedSettlementNote, sign_settlement_note

JOBS, NOTES = 12, 4


class Ledgers:
    """A provider's and a coordinator's ledger after some jobs and settlements between them."""

    def __init__(self, folder: Path) -> None:
        self._giving = ReceiptStore.open(folder / "provider.db", own=PROVIDER.peer_id)
        self._taking = ReceiptStore.open(folder / "coordinator.db", own=COORDINATOR.peer_id)
        self._paid, self._paying = Settlements(self._giving.database), Settlements(self._taking.database)
        self._jobs = [self._job(number) for number in range(JOBS)]
        self._notes = [self._note(number) for number in range(NOTES)]
        self._state = self._look()

    def close(self) -> None:
        self._giving.close()
        self._taking.close()

    def play(self, rounds: int, rng: random.Random) -> Counter[tuple[str, str, str]]:
        """``rounds`` words brought once more; how they were refused, or that nothing changed. Raises ``Broken``."""
        ends = Counter[tuple[str, str, str]]()
        for _ in range(rounds):
            name = rng.choice(list(_PLAYS))
            try:
                _PLAYS[name](self, rng)
                end = "nothing changed"
            except PeernodeError as err:
                end = err.code
            if self._look() != self._state:
                raise Broken(f"ledger, {name}: something changed")
            ends["ledger", name, end] += 1
        return ends

    def again_at_provider(self, rng: random.Random) -> None:
        signed, made = rng.choice(self._jobs)
        check_countersignature(made, signed)
        self._giving.add_countersignature(made, now_ms=1)

    def again_at_coordinator(self, rng: random.Random) -> None:
        signed, made = rng.choice(self._jobs)
        if self._taking.countersign(signed, _refuse_to_sign, now_ms=1).raw != made.raw:
            raise Broken("a coordinator countersigned one receipt twice")

    def for_another(self, rng: random.Random) -> None:
        (signed, _), (_, made) = rng.sample(self._jobs, 2)
        check_countersignature(made, signed)
        raise Broken("the countersignature of one receipt was taken for another's")

    def stale(self, rng: random.Random) -> None:
        """A new receipt, and under it a total that does not cover it together with those before."""
        seq, previous = JOBS + 1, self._jobs[-1][0].digest
        body = replace(RECEIPT, request_id="req_new", seq=seq, previous=previous)
        signed = sign_receipt(body, PROVIDER)
        newest = self._jobs[-1][1].countersignature.cumulative
        made = _countersigned(signed, rng.randrange(body.credits, newest + body.credits))

        def work(db: Connection) -> None:
            add_receipt(db, signed, 1)
            add_countersignature(db, made, now_ms=1)
            raise Broken(f"a total of {made.countersignature.cumulative} was taken after {newest}")

        self._giving.database.writer.run(work)

    def second_receipt(self, rng: random.Random) -> None:
        signed, _ = rng.choice(self._jobs)
        other = sign_receipt(replace(signed.receipt, text_digest=rng.randbytes(32)), PROVIDER)
        self._taking.countersign(other, lambda total: _countersigned(other, total), now_ms=1)

    def second_log(self, rng: random.Random) -> None:
        """A receipt that this node did sign, so it seems, but not at that place of its log."""
        signed, _ = rng.choice(self._jobs)
        seq = rng.choice([signed.receipt.seq, JOBS + 2, 1])
        other = sign_receipt(replace(signed.receipt, request_id=f"req_{rng.random()}", seq=seq), PROVIDER)
        self._giving.database.writer.run(lambda db: restore(db, other, None, now_ms=1))

    def restored_again(self, rng: random.Random) -> None:
        signed, made = rng.choice(self._jobs)
        store = rng.choice([self._giving, self._taking])
        store.database.writer.run(lambda db: restore(db, signed, made, now_ms=1))

    def note_again(self, rng: random.Random) -> None:
        signed = rng.choice(self._notes)
        if self._paying.post_note(signed, now_ms=1) != self._notes[-1].note.settled:
            raise Broken("an old settlement note took something back")

    def note_that_shrinks(self, rng: random.Random) -> None:
        newest = self._notes[-1].note
        less = rng.randrange(1, newest.settled + 1)
        note = replace(newest, settled=less, amount=min(newest.amount, less), at_ms=newest.at_ms + 1)
        self._paying.post_note(sign_settlement_note(note, PROVIDER), now_ms=1)

    def _job(self, number: int) -> tuple[SignedReceipt, SignedCountersignature]:
        def build(seq: int, previous: bytes) -> SignedReceipt:
            body = replace(RECEIPT, request_id=f"req_{number}", seq=seq, previous=previous)
            return sign_receipt(body, PROVIDER)

        signed = self._giving.append(build, now_ms=number)
        made = self._taking.countersign(signed, lambda total: _countersigned(signed, total), now_ms=number)
        self._giving.add_countersignature(made, now_ms=number)
        return signed, made

    def _note(self, number: int) -> SignedSettlementNote:
        def build(so_far: int) -> SignedSettlementNote:
            note = SettlementNote(NETWORK, PROVIDER.peer_id, COORDINATOR.peer_id, so_far + 5, 5, f"n {number}", number)
            return sign_settlement_note(note, PROVIDER)

        signed = self._paid.settle(build, COORDINATOR.peer_id, now_ms=number)
        self._paying.post_note(signed, now_ms=number)
        return signed

    def _look(self) -> object:
        pair = {"coordinator": COORDINATOR.peer_id, "provider": PROVIDER.peer_id}
        return [
            (Books(store.database).balances(""), store.owed(**pair), ReceiptLog(store.database).head())
            for store in (self._giving, self._taking)
        ]


def _countersigned(signed: SignedReceipt, total: int) -> SignedCountersignature:
    body = Countersignature(NETWORK, COORDINATOR.peer_id, PROVIDER.peer_id, signed.digest, total, 1)
    return sign_countersignature(body, COORDINATOR)


def _refuse_to_sign(total: int) -> SignedCountersignature:
    raise Broken(f"a coordinator signs anew for a receipt that is countersigned: {total}")


_PLAYS: dict[str, Callable[[Ledgers, random.Random], None]] = {
    "countersignature again": Ledgers.again_at_provider,
    "receipt again": Ledgers.again_at_coordinator,
    "countersignature of another receipt": Ledgers.for_another,
    "stale voucher": Ledgers.stale,
    "second receipt for a part": Ledgers.second_receipt,
    "second log": Ledgers.second_log,
    "restored again": Ledgers.restored_again,
    "settlement note again": Ledgers.note_again,
    "settlement note that shrinks": Ledgers.note_that_shrinks,
}
