"""The books: events posted once, balances that follow from them, and whether they still do.

``post`` is for use inside a work of the writer, beside whatever must happen in the same transaction. ``Books`` is the
same for who has nothing else to write, and what reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from peernode.ledger.database import Database, own_of
from peernode.ledger.errors import EventConflict, LedgerError
from peernode.ledger.events import HELD, Event, is_shared
from peernode.ledger.projections import check, rebuild
from peernode.ledger.schema import balances, events, holds, postings


@dataclass(frozen=True, slots=True)
class Entry:
    """One posting to an account, as its history shows it. ``number`` orders events, and is for paging."""

    number: int
    key: str
    kind: str
    about: str
    note: str
    amount: int
    at_ms: int


def post(db: Connection, event: Event) -> bool:
    """Post ``event`` in the transaction of ``db``; False when it was posted before.

    Raises EventConflict when another event has its key, LedgerError when it moves held credits that are not there.
    """
    own = own_of(db)
    number = db.execute(
        _INSERT_EVENT[db.dialect.name],
        {
            "key": event.key,
            "kind": event.kind,
            "about": event.about,
            "note": event.note,
            "node": own,
            "content": event.content,
            "at_ms": event.at_ms,
        },
    ).scalar()
    if number is None:
        _check_same(db, event)
        return False
    rows = [(posting.account, "" if is_shared(posting.account) else own, posting.amount) for posting in event.postings]
    db.execute(
        _INSERT_POSTING,
        [
            {"event_id": number, "position": position, "account": account, "node": node, "amount": amount}
            for position, (account, node, amount) in enumerate(rows)
        ],
    )
    added = [
        {"account": account, "node": node, "amount": amount}
        for account, node, amount in rows
        if amount > 0 or not account.startswith(HELD)
    ]
    db.execute(_ADD[db.dialect.name], added)
    for posting in event.postings:
        if posting.account.startswith(HELD):
            _move_held(db, event, posting.account, posting.amount)
    return True


def balance_of(db: Connection, account: str) -> int:
    """Micro-credits in ``account``."""
    node = "" if is_shared(account) else own_of(db)
    return db.execute(_BALANCE, {"of": account, "at": node}).scalar() or 0


class Books:
    """The books of one node, and of the clients it shares with others. Methods block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def post(self, event: Event) -> bool:
        """Durable when this returns; False when it was posted before. Raises EventConflict."""
        return self._database.writer.run(lambda db: post(db, event))

    def balance(self, account: str) -> int:
        with self._database.reader() as db:
            return balance_of(db, account)

    def balances(self, prefix: str = "") -> dict[str, int]:
        """Accounts whose names begin with ``prefix``, in order; those of this node and the shared ones."""
        query = (
            select(balances.c.account, balances.c.amount)
            .where(balances.c.node.in_(("", self._database.own)))
            .where(balances.c.account.startswith(prefix, autoescape=True))
            .order_by(balances.c.account)
        )
        with self._database.reader() as db:
            return {row.account: row.amount for row in db.execute(query)}

    def history(self, account: str, *, limit: int = 50, before: int | None = None) -> Sequence[Entry]:
        """What moved ``account``, the newest first; the next page is ``before`` the last entry's number."""
        node = "" if is_shared(account) else self._database.own
        query = (
            select(events, postings.c.amount)
            .join(postings, postings.c.event_id == events.c.id)
            .where(postings.c.account == account, postings.c.node == node)
            .order_by(events.c.id.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(postings.c.event_id < before)
        with self._database.reader() as db:
            return [
                Entry(row.id, row.key, row.kind, row.about, row.note, row.amount, row.at_ms)
                for row in db.execute(query)
            ]

    def check(self) -> None:
        """Raises BooksDiffer when an event does not sum to zero, or a balance or hold is not what its events say."""
        with self._database.reader() as db:
            check(db)

    def rebuild(self) -> None:
        """Make balances and holds anew from the events. Events that are wrong stay: BooksDiffer is raised for them."""
        self._database.writer.run(rebuild)


def _check_same(db: Connection, event: Event) -> None:
    there = db.execute(select(events.c.content).where(events.c.key == event.key)).scalar_one()
    if there != event.content:
        raise EventConflict(
            "Another event of this name was posted before.",
            cause=event.key,
            remedy="What was posted stays; put it right with an event of another name.",
        )


def _move_held(db: Connection, event: Event, account: str, amount: int) -> None:
    if amount > 0:
        row = {"request_id": event.about, "account": account, "node": own_of(db), "held": amount}
        db.execute(_ADD_HOLD[db.dialect.name], row)
        return
    taken = {"request": event.about, "from": account, "less": -amount}
    if not db.execute(_LESSEN_HOLD, taken).rowcount and not db.execute(_END_HOLD, taken).rowcount:
        raise LedgerError("That much is not held.", cause=f"{-amount} micro-credits for {event.about}")
    db.execute(_LESSEN_HELD, {"from": account, "less": -amount})


_DIALECTS: dict[str, Any] = {"sqlite": sqlite, "postgresql": postgresql}
_INSERT_POSTING = insert(postings)
_INSERT_EVENT, _ADD, _ADD_HOLD = {}, {}, {}
for _name, _dialect in _DIALECTS.items():
    _event = _dialect.insert(events)
    _INSERT_EVENT[_name] = _event.on_conflict_do_nothing(index_elements=["key"]).returning(events.c.id)
    _added = _dialect.insert(balances)
    _ADD[_name] = _added.on_conflict_do_update(
        index_elements=["account", "node"], set_={"amount": balances.c.amount + _added.excluded.amount}
    )
    _held = _dialect.insert(holds)
    _ADD_HOLD[_name] = _held.on_conflict_do_update(
        index_elements=["request_id"], set_={"held": holds.c.held + _held.excluded.held}
    )
_BALANCE = select(balances.c.amount).where(balances.c.account == bindparam("of"), balances.c.node == bindparam("at"))
_OF_HOLD = (holds.c.request_id == bindparam("request"), holds.c.account == bindparam("from"))
_LESSEN_HOLD = (
    update(holds).where(*_OF_HOLD, holds.c.held > bindparam("less")).values(held=holds.c.held - bindparam("less"))
)
_END_HOLD = delete(holds).where(*_OF_HOLD, holds.c.held == bindparam("less"))
_LESSEN_HELD = (
    update(balances)
    .where(balances.c.account == bindparam("from"), balances.c.node == "")
    .values(amount=balances.c.amount - bindparam("less"))
)
