"""Balances and holds as what follows from the events: compared with them, and made anew from them."""

from __future__ import annotations

from sqlalchemy import Connection, Executable, delete, func, insert, select

from peernode.ledger.errors import BooksDiffer
from peernode.ledger.events import HELD
from peernode.ledger.schema import balances, events, holds, postings

_MOST_NAMED = 5


def check(db: Connection) -> None:
    """Raises BooksDiffer when an event is not whole, or a balance or hold is not what the events say."""
    _check_events(db)
    differing = sorted(set(_balances_there(db).items()) ^ set(_balances_due(db).items()))
    if not differing:
        differing = sorted(set(_holds_there(db).items()) ^ set(_holds_due(db).items()))
    if differing:
        raise BooksDiffer(
            "Balances of the ledger differ from its events.",
            cause=", ".join(f"{name[0]}: {amount}" for name, amount in differing[:_MOST_NAMED]),
            remedy="The events are what counts: `peernode credits rebuild` makes the balances anew from them.",
        )


def rebuild(db: Connection) -> None:
    """Make balances and holds anew. Raises BooksDiffer, with nothing changed, when an event is not whole."""
    _check_events(db)
    made = _holds_made_by(db)
    db.execute(delete(balances))
    db.execute(delete(holds))
    if due := _balances_due(db):
        rows = [{"account": account, "node": node, "amount": amount} for (account, node), amount in due.items()]
        db.execute(insert(balances), rows)
    if open_holds := _holds_due(db):
        held = [
            {"request_id": request_id, "account": account, "node": made[request_id], "held": amount}
            for (request_id, account), amount in open_holds.items()
        ]
        db.execute(insert(holds), held)


def _check_events(db: Connection) -> None:
    uneven = select(postings.c.event_id).group_by(postings.c.event_id).having(func.sum(postings.c.amount) != 0)
    whole = (
        select(events.c.id).outerjoin(postings, postings.c.event_id == events.c.id).where(postings.c.event_id.is_(None))
    )
    strange = [row[0] for row in db.execute(uneven.limit(_MOST_NAMED))]
    strange += [row[0] for row in db.execute(whole.limit(_MOST_NAMED))]
    if strange:
        raise BooksDiffer(
            "Events of the ledger are not whole.",
            cause="events " + ", ".join(map(str, strange)),
            remedy="The database was changed by something else. Restore it from a backup.",
        )


def _balances_there(db: Connection) -> dict[tuple[str, str], int]:
    return _sums(db, select(balances.c.account, balances.c.node, balances.c.amount))


def _balances_due(db: Connection) -> dict[tuple[str, str], int]:
    by = (postings.c.account, postings.c.node)
    return _sums(db, select(*by, func.sum(postings.c.amount)).group_by(*by))


def _holds_there(db: Connection) -> dict[tuple[str, str], int]:
    return _sums(db, select(holds.c.request_id, holds.c.account, holds.c.held))


def _holds_due(db: Connection) -> dict[tuple[str, str], int]:
    by = (events.c.about, postings.c.account)
    moved = (
        select(*by, func.sum(postings.c.amount))
        .join(events, events.c.id == postings.c.event_id)
        .where(postings.c.account.startswith(HELD))
        .group_by(*by)
        .having(func.sum(postings.c.amount) != 0)
    )
    return _sums(db, moved)


def _holds_made_by(db: Connection) -> dict[str, str]:
    """Which node made each hold that was ever made."""
    query = (
        select(events.c.about, events.c.node)
        .join(postings, postings.c.event_id == events.c.id)
        .where(postings.c.account.startswith(HELD), postings.c.amount > 0)
    )
    return {row.about: row.node for row in db.execute(query)}


def _sums(db: Connection, query: Executable) -> dict[tuple[str, str], int]:
    return {(row[0], row[1]): int(row[2]) for row in db.execute(query)}  # PostgreSQL sums to a Decimal
