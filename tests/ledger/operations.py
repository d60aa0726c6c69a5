"""What can happen to the ledgers of a coordinator and a provider, and the plainest account of what it should do.

An operation is ``submit``-ted to the real ledgers and ``expect``-ed of the model, which answers with what the ledger
has to return, or with the type of what it has to raise.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection

from peernode.ledger import Event, EventConflict, InsufficientBalance, Posting, ReceiptConflict, post
from peernode.ledger.events import client, held
from peernode.ledger.holds import hold, release
from peernode.ledger.store import ReceiptStore
from peernode.wire.receipt import NO_PREVIOUS, SignedReceipt
from tests.ledger.model import OWED, OWES, Model, Parties
from tests.samples import countersigned, signed_receipt


class Operation(Protocol):
    def submit(self, parties: Parties) -> Future[Any]: ...

    def expect(self, model: Model) -> object: ...


@dataclass(frozen=True)
class Grant:
    """Credits for a client, a refund, or (negative) a correction; ``number`` is its name."""

    number: int
    to: str
    amount: int

    def submit(self, parties: Parties) -> Future[Any]:
        moved = (Posting("granted", -self.amount), Posting(client(self.to), self.amount))
        event = Event(f"grant:{self.number}", "grant", moved, self.number)
        return parties.coordinator.writer.submit(lambda db: post(db, event))

    def expect(self, model: Model) -> object:
        said = (self.amount, self.to)
        if (there := model.posted.setdefault(f"grant:{self.number}", said)) != said:
            return EventConflict
        if there is not said:
            return False
        model.events += 1
        model.balances["granted"] -= self.amount
        model.balances[client(self.to)] += self.amount
        return True


@dataclass(frozen=True)
class Spoil:
    """A work that posts something, and then fails: nothing of it stays."""

    to: str
    amount: int

    def submit(self, parties: Parties) -> Future[Any]:
        moved = (Posting("granted", -self.amount), Posting(client(self.to), self.amount))

        def work(db: Connection) -> None:
            post(db, Event("spoilt", "grant", moved, 1))
            raise ArithmeticError

        return parties.coordinator.writer.submit(work)

    def expect(self, model: Model) -> object:
        return ArithmeticError


@dataclass(frozen=True)
class Settle:
    """The coordinator pays part of what it owes, outside of the books."""

    number: int
    amount: int

    def submit(self, parties: Parties) -> Future[Any]:
        moved = (Posting(OWED, self.amount), Posting("settled", -self.amount))
        event = Event(f"settle:{self.number}", "settle", moved, self.number)
        return parties.coordinator.writer.submit(lambda db: post(db, event))

    def expect(self, model: Model) -> object:
        said = (self.amount, "")
        if (there := model.posted.setdefault(f"settle:{self.number}", said)) != said:
            return EventConflict
        if there is not said:
            return False
        model.events += 1
        model.balances[OWED] += self.amount
        model.balances["settled"] -= self.amount
        return True


@dataclass(frozen=True)
class SetAside:
    request_id: str
    of: str
    amount: int

    def submit(self, parties: Parties) -> Future[Any]:
        return parties.coordinator.writer.submit(lambda db: hold(db, self.request_id, client(self.of), self.amount, 1))

    def expect(self, model: Model) -> object:
        if self.amount == 0:
            return False
        asked = (self.of, self.amount)
        if self.request_id in model.asked:
            return False if model.asked[self.request_id] == asked else EventConflict
        if model.balances[client(self.of)] < self.amount:
            return InsufficientBalance
        model.events += 1
        model.asked[self.request_id] = model.holds[self.request_id] = asked
        model.balances[client(self.of)] -= self.amount
        model.balances[held(self.of)] += self.amount
        return True


@dataclass(frozen=True)
class GiveBack:
    request_id: str
    keep: int

    def submit(self, parties: Parties) -> Future[Any]:
        return parties.coordinator.writer.submit(lambda db: release(db, self.request_id, 1, keep=self.keep))

    def expect(self, model: Model) -> object:
        name, left = model.holds.get(self.request_id, ("", 0))
        if left <= self.keep:
            return 0
        model.events += 1
        model.lessen_hold(self.request_id, left - self.keep)
        model.balances[client(name)] += left - self.keep
        return left - self.keep


@dataclass(frozen=True)
class Sign:
    """The provider's next receipt."""

    request_id: str
    part: int
    credits: int

    def submit(self, parties: Parties) -> Future[Any]:
        return ReceiptStore(parties.provider).append_soon(self._build, now_ms=1)

    def expect(self, model: Model) -> object:
        signed = self._build(len(model.chain) + 1, model.chain[-1].digest if model.chain else NO_PREVIOUS)
        model.chain.append(signed)
        return signed

    def _build(self, seq: int, previous: bytes) -> SignedReceipt:
        terms = {"request_id": self.request_id, "part": self.part, "credits": self.credits}
        return signed_receipt(seq=seq, previous=previous, **terms)


@dataclass(frozen=True)
class Take:
    """The coordinator countersigns a receipt."""

    signed: SignedReceipt

    def submit(self, parties: Parties) -> Future[Any]:
        store = ReceiptStore(parties.coordinator)
        return store.countersign_soon(self.signed, lambda total: countersigned(self.signed, cumulative=total), now_ms=1)

    def expect(self, model: Model) -> object:
        receipt = self.signed.receipt
        digest, total = model.taken.get((receipt.request_id, receipt.part), (None, 0))
        if digest is not None:
            return countersigned(self.signed, cumulative=total) if digest == self.signed.digest else ReceiptConflict
        model.total += receipt.credits
        model.events += bool(receipt.credits)
        model.taken[receipt.request_id, receipt.part] = (self.signed.digest, model.total)
        paid = min(model.holds.get(receipt.request_id, ("", 0))[1], receipt.credits)
        if paid:
            model.lessen_hold(receipt.request_id, paid)
        model.balances.update(
            {"redeemed": paid, "bought": paid, "spent": receipt.credits - paid, OWED: -receipt.credits}
        )
        return countersigned(self.signed, cumulative=model.total)


@dataclass(frozen=True)
class Deliver:
    """A countersignature reaches the provider: late, again, or out of order."""

    signed: SignedReceipt
    total: int

    def submit(self, parties: Parties) -> Future[Any]:
        made = countersigned(self.signed, cumulative=self.total)
        return ReceiptStore(parties.provider).add_countersignature_soon(made, now_ms=1)

    def expect(self, model: Model) -> object:
        if self.signed.digest not in model.delivered:
            model.delivered.add(self.signed.digest)
            model.given += bool(self.signed.receipt.credits)
            model.provider.update({OWES: self.signed.receipt.credits, "income": -self.signed.receipt.credits})
        return None
