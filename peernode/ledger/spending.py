"""What keys spend: the hold of each request within balance and caps, its charge by receipts, and what was used by day.

The books say what was paid; the days are a projection of the same receipts, written in the same transaction. A request
never costs its client more than was held for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from sqlalchemy import Connection, bindparam, func, insert, select, update

from peernode.chat.fee_share import FeeShare
from peernode.ledger import events
from peernode.ledger.books import balance_of
from peernode.ledger.calendar import day_of, month_begins, week_begins
from peernode.ledger.client_key import ClientKey
from peernode.ledger.client_records import ClientRequest, DayUse, Standing
from peernode.ledger.client_schema import client_days, client_requests
from peernode.ledger.database import Database, own_of
from peernode.ledger.errors import BooksDiffer, LedgerError
from peernode.ledger.holds import hold, open_hold, release
from peernode.ledger.keys import existing
from peernode.ledger.schema import postings
from peernode.wire.receipt import Receipt, SignedReceipt

BALANCE, DAY_CAP, MONTH_CAP = "balance", "day_cap", "month_cap"
_MODEL_CHARS = 256
# Asked with every receipt, so it is put together once.
_REQUEST = select(client_requests).where(client_requests.c.request_id == bindparam("of"))


class NotActive(LedgerError):
    """The key was revoked or has expired since it was recognised. ``state`` says which."""

    code = "key_not_active"

    def __init__(self, state: str) -> None:
        super().__init__(f"The key is {state}.")
        self.state = state


class Short(LedgerError):
    """What is there does not reach. ``limit`` is BALANCE, DAY_CAP or MONTH_CAP, whichever leaves least."""

    code = "short"

    def __init__(self, *, limit: str, needed: int, available: int) -> None:
        super().__init__("The credit left does not reach.", cause=f"{needed} needed, {available} by the {limit}")
        self.limit = limit
        self.needed = needed
        self.available = available


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much to hold: ``most`` if it is there, less if it must be, but no less than ``least``."""

    least: int
    most: int


class Spending:
    """What the keys of one ledger spend. Methods block; those named ``…_soon`` give a future at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, request: ClientRequest, bounds: Bounds) -> int:
        """Hold for a request; durable when this returns the micro-credits held. Again returns what is held still.

        Raises NoSuchKey, NotActive or Short.
        """
        return self.begin_soon(request, bounds).result()

    def begin_soon(self, request: ClientRequest, bounds: Bounds) -> Future[int]:
        return self._database.writer.submit(lambda db: begin(db, request, bounds))

    def end(self, request_id: str, *, now_ms: int, keep: int = 0) -> int:
        """Give back what is held beyond ``keep``; how much that was. Durable when this returns."""
        return self.end_soon(request_id, now_ms=now_ms, keep=keep).result()

    def end_soon(self, request_id: str, *, now_ms: int, keep: int = 0) -> Future[int]:
        return self._database.writer.submit(lambda db: release(db, request_id, now_ms, keep=keep))

    def standing(self, key_id: str, *, now_ms: int) -> Standing:
        """One key's money at this moment."""
        with self._database.reader() as db:
            return standing(db, key_id, now_ms)

    def usage(self, key_id: str, *, first_day: str, last_day: str) -> Sequence[DayUse]:
        """By day and model, both days included; the earliest first."""
        query = (
            select(client_days)
            .where(client_days.c.key_id == key_id, client_days.c.day.between(first_day, last_day))
            .order_by(client_days.c.day, client_days.c.model)
        )
        with self._database.reader() as db:
            return [
                DayUse(
                    row.day,
                    row.model,
                    row.requests,
                    row.prompt_tokens,
                    row.cached_tokens,
                    row.completion_tokens,
                    row.credits,
                )
                for row in db.execute(query)
            ]

    def request(self, request_id: str) -> ClientRequest | None:
        """Who asked, and what it cost; None when no key did."""
        with self._database.reader() as db:
            row = db.execute(select(client_requests).where(client_requests.c.request_id == request_id)).first()
        if row is None:
            return None
        return ClientRequest(
            row.request_id, row.key_id, row.model, row.dialect, bool(row.streamed), row.at_ms, row.charged
        )

    def check(self) -> None:
        """Raises BooksDiffer unless the days of each key add up to what the books say that it paid."""
        with self._database.reader() as db:
            check(db)


def begin(db: Connection, request: ClientRequest, bounds: Bounds) -> int:
    """``Spending.begin`` inside the transaction of ``db``: whoever else spends waits, or has spent."""
    there = open_hold(db, request.request_id)
    if there is not None:
        return there.held
    key = existing(db, request.key_id)
    state = key.state(request.at_ms)
    if state != "active":
        raise NotActive(state)
    limit, available = room_of(db, key, request.at_ms)
    if bounds.least > available:
        raise Short(limit=limit, needed=bounds.least, available=available)
    amount = min(bounds.most, available)
    known = select(client_requests.c.request_id).where(client_requests.c.request_id == request.request_id)
    if db.execute(known).first() is None:
        db.execute(insert(client_requests).values(**_row(request, own_of(db))))
    hold(db, request.request_id, key.account, amount, request.at_ms, unlimited=key.limits.unlimited)
    return amount


def room_of(db: Connection, key: ClientKey, now_ms: int) -> tuple[str, int]:
    """(which limit is the narrowest, the micro-credits that it leaves). What runs counts as spent."""
    limits = key.limits
    rooms = [(BALANCE, events.MAX_AMOUNT if limits.unlimited else balance_of(db, key.account))]
    for name, cap, since in ((DAY_CAP, limits.day_cap, day_of), (MONTH_CAP, limits.month_cap, month_begins)):
        if cap is not None:
            rooms.append((name, cap - _spent(db, key.id, since(now_ms)) - balance_of(db, events.held(key.id))))
    limit, room = min(rooms, key=lambda entry: entry[1])
    return limit, max(room, 0)


def standing(db: Connection, key_id: str, now_ms: int) -> Standing:
    """``Spending.standing`` inside the transaction of ``db``."""
    return Standing(
        balance=balance_of(db, events.client(key_id)),
        held=balance_of(db, events.held(key_id)),
        spent=_spent(db, key_id, ""),
        spent_today=_spent(db, key_id, day_of(now_ms)),
        spent_this_week=_spent(db, key_id, week_begins(now_ms)),
        spent_this_month=_spent(db, key_id, month_begins(now_ms)),
    )


def charge(db: Connection, signed: SignedReceipt, *, paid: int, now_ms: int) -> None:
    """Note a countersigned receipt of which a client paid ``paid``; does nothing for requests without a key.

    A receipt that comes after its request failed, and was released, is the operator's, and not the client's to see.
    """
    receipt = signed.receipt
    row = db.execute(_REQUEST, {"of": receipt.request_id}).first()
    if row is None or (receipt.credits and not paid):
        return
    db.execute(
        update(client_requests)
        .where(client_requests.c.request_id == receipt.request_id)
        .values(parts=row.parts + 1, charged=row.charged + paid)
    )
    use = DayUse(
        day_of(now_ms),
        receipt.model_id[:_MODEL_CHARS],
        0 if row.parts else 1,
        receipt.prompt_tokens,
        receipt.cached_tokens,
        receipt.completion_tokens,
        paid,
    )
    _add(db, row.key_id, use)


def fee_on(db: Connection, receipt: Receipt) -> int:
    """What the client of this receipt pays to its own node on top of it."""
    row = db.execute(_REQUEST, {"of": receipt.request_id}).first()
    return FeeShare(row.fee_ppm).of(receipt.credits) if row is not None else 0


def check(db: Connection) -> None:
    """``Spending.check`` inside the transaction of ``db``."""
    used = select(client_days.c.key_id, func.sum(client_days.c.credits)).group_by(client_days.c.key_id)
    by_days = {row[0]: int(row[1]) for row in db.execute(used) if row[1]}
    # What was paid left the holds by events that also credit ``redeemed``.
    redeemed = select(postings.c.event_id).where(postings.c.account == events.REDEEMED)
    paid = (
        select(postings.c.account, func.sum(postings.c.amount))
        .where(postings.c.account.startswith(events.HELD), postings.c.event_id.in_(redeemed))
        .group_by(postings.c.account)
    )
    by_books = {row[0].removeprefix(events.HELD): -int(row[1]) for row in db.execute(paid) if row[1]}
    differing = sorted(set(by_days.items()) ^ set(by_books.items()))
    if differing:
        raise BooksDiffer(
            "What clients used by day differs from what the books say that they paid.",
            cause=", ".join(f"{key}: {amount}" for key, amount in differing[:5]),
            remedy="The books are what counts: the days are made anew when a node starts.",
        )


def _spent(db: Connection, key_id: str, since_day: str) -> int:
    query = select(func.sum(client_days.c.credits)).where(
        client_days.c.key_id == key_id, client_days.c.day >= since_day
    )
    return int(db.execute(query).scalar() or 0)


def _add(db: Connection, key_id: str, use: DayUse) -> None:
    counts = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens", "credits")
    added = {name: client_days.c[name] + getattr(use, name) for name in counts}
    day = (client_days.c.key_id == key_id, client_days.c.day == use.day, client_days.c.model == use.model)
    if not db.execute(update(client_days).where(*day).values(**added)).rowcount:
        fresh = {name: getattr(use, name) for name in counts}
        db.execute(insert(client_days).values(key_id=key_id, day=use.day, model=use.model, **fresh))


def _row(request: ClientRequest, node: str) -> dict[str, object]:
    kept = replace(request, model=request.model[:_MODEL_CHARS])
    return {
        "request_id": kept.request_id,
        "key_id": kept.key_id,
        "node": node,
        "model": kept.model,
        "dialect": kept.dialect,
        "streamed": kept.streamed,
        "at_ms": kept.at_ms,
        "parts": 0,
        "charged": 0,
        "fee_ppm": kept.fee_ppm,
    }
