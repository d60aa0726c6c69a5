"""Holds: what a client's request may cost at most, set aside before it is sent out.

Receipts of the request take their credits from its hold; what is left goes back. ``hold`` and ``release`` are for use
inside a work of the writer; ``Holds`` is the same for who has nothing else to write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from peernode.ledger.books import balance_of, post
from peernode.ledger.database import Database
from peernode.ledger.errors import EventConflict, InsufficientBalance
from peernode.ledger.events import Event, Posting, client_of, held_for
from peernode.ledger.schema import events, holds


@dataclass(frozen=True, slots=True)
class Hold:
    """An open hold: ``held`` micro-credits are left of it, of the client's ``account``. ``node`` made it."""

    request_id: str
    account: str
    held: int
    node: str


def hold(db: Connection, request_id: str, account: str, amount: int, at_ms: int, *, unlimited: bool = False) -> bool:
    """Set ``amount`` aside; False when it was before (perhaps it is used up by now), or is nothing.

    Raises InsufficientBalance when ``account`` does not reach, unless it is ``unlimited``; EventConflict when something
    else was held for this request.
    """
    if amount == 0:
        return False
    event = Event(
        key=f"hold:{request_id}",
        kind="hold",
        postings=(Posting(account, -amount), Posting(held_for(account), amount)),
        at_ms=at_ms,
        about=request_id,
    )
    there = db.execute(_EVENT, {"name": event.key}).scalar()
    if there is not None:
        if there != event.content:
            raise EventConflict("Something else was held for this request before.", cause=request_id)
        return False
    if not unlimited and (balance := balance_of(db, account)) < amount:
        raise InsufficientBalance(balance=balance, needed=amount)
    return post(db, event)


def release(db: Connection, request_id: str, at_ms: int, *, keep: int = 0) -> int:
    """Give back what is left beyond ``keep``; the micro-credits that went back. Again gives nothing more."""
    found = open_hold(db, request_id)
    if found is None or found.held <= keep:
        return 0
    amount = found.held - keep
    event = Event(
        # What is left only ever shrinks, so this names each release of a request.
        key=f"release:{request_id}:{found.held}",
        kind="release",
        postings=(Posting(held_for(found.account), -amount), Posting(found.account, amount)),
        at_ms=at_ms,
        about=request_id,
    )
    post(db, event)
    return amount


def open_hold(db: Connection, request_id: str) -> Hold | None:
    """What is still held for a request."""
    row = db.execute(_HOLD, {"of": request_id}).first()
    return Hold(row.request_id, client_of(row.account), row.held, row.node) if row else None


class Holds:
    """Holds of the clients of one node, or of several that share a database. Methods block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, request_id: str, account: str, amount: int, at_ms: int, *, unlimited: bool = False) -> bool:
        """Durable when this returns. Raises InsufficientBalance or EventConflict, as ``hold`` does."""
        work = self._database.writer.run
        return work(lambda db: hold(db, request_id, account, amount, at_ms, unlimited=unlimited))

    def release(self, request_id: str, at_ms: int, *, keep: int = 0) -> int:
        """What is left beyond ``keep`` goes back. Durable when this returns."""
        return self._database.writer.run(lambda db: release(db, request_id, at_ms, keep=keep))

    def find(self, request_id: str) -> Hold | None:
        with self._database.reader() as db:
            return open_hold(db, request_id)

    def pending(self) -> Sequence[Hold]:
        """Open holds that this node made."""
        query = select(holds).where(holds.c.node == self._database.own).order_by(holds.c.request_id)
        with self._database.reader() as db:
            return [Hold(row.request_id, client_of(row.account), row.held, row.node) for row in db.execute(query)]


_EVENT = select(events.c.content).where(events.c.key == bindparam("name"))
_HOLD = select(holds).where(holds.c.request_id == bindparam("of"))
