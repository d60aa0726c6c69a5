"""Open jobs: parts of jobs with other nodes that have begun and are not yet settled by a countersigned receipt.

A row is written beside the dispatch and goes in the transaction that settles it, so what is found here after a crash is
exactly what has to be asked about. Knows terms and acknowledgements as bytes only. Methods named ``…_soon`` give a
future at once and keep their order; the others block. ``find`` and ``all`` see whatever was submitted before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Connection, Row, and_, bindparam, delete, func, insert, select, update

from peernode.ledger.database import Database, own_of
from peernode.ledger.open_jobs_schema import open_jobs
from peernode.wire.receipt import Receipt

Side = Literal["ordered", "provided"]
ORDERED: Final = "ordered"
PROVIDED: Final = "provided"
# Its conversation lasts, or was cut by a crash; it broke off, and what is owed is known; nobody resolved it in time.
RUNNING: Final = "running"
BROKEN: Final = "broken"
GIVEN_UP: Final = "given_up"


@dataclass(frozen=True, slots=True)
class PartKey:
    """One part of one job with one other node; ``side`` is what this node is in it."""

    side: Side
    request_id: str
    part: int
    peer: str


@dataclass(frozen=True, slots=True)
class OpenJob:
    """``acknowledgement`` is the newest one's envelope, or empty; ``credits`` the most that may still be owed."""

    key: PartKey
    terms: bytes
    credits: int
    opened_ms: int
    state: str = RUNNING
    acknowledgement: bytes = b""
    changed_ms: int = 0
    note: str = ""


class OpenJobs:
    """Those of one node."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_soon(self, job: OpenJob) -> Future[None]:
        """Add a part; one that is here already stays as it is."""
        return self._database.writer.submit(lambda db: _add(db, job))

    def acknowledge_soon(self, key: PartKey, acknowledgement: bytes, *, now_ms: int) -> Future[None]:
        """Keep the newest acknowledgement of a part."""
        return self._change_soon(key, now_ms, acknowledgement=acknowledgement)

    def break_soon(self, key: PartKey, acknowledgement: bytes, credits_owed: int, *, now_ms: int) -> Future[None]:
        """The part broke off; this much is acknowledged, and will be paid for it."""
        changes = {"state": BROKEN, "acknowledgement": acknowledgement, "credits": credits_owed}
        return self._change_soon(key, now_ms, **changes)

    def give_up_soon(self, key: PartKey, why: str, *, now_ms: int) -> Future[None]:
        """Nobody resolved it in time: kept as a record, and nothing is held for it any more."""
        return self._change_soon(key, now_ms, state=GIVEN_UP, credits=0, note=why[:256])

    def close_soon(self, key: PartKey) -> Future[None]:
        """Nothing is due any more."""
        return self._database.writer.submit(lambda db: _close(db, key))

    def find(self, key: PartKey) -> OpenJob | None:

        def work(db: Connection) -> OpenJob | None:
            row = db.execute(_FIND, _place(own_of(db), key)).first()
            return None if row is None else _read(row)

        return self._database.writer.run(work)

    def all(self) -> Sequence[OpenJob]:
        """Every open job of this node, the oldest first, those given up included."""
        return self._database.writer.run(
            lambda db: [_read(row) for row in db.execute(_ALL, {"at_node": own_of(db)})],
        )

    def pending_credits(self, request_id: str) -> int:
        """The most that parts of a request may still come to cost this node: what has to stay held for it."""
        with self._database.reader() as db:
            return _pending(db, self._database.own, request_id)

    def _change_soon(self, key: PartKey, now_ms: int, **changes: object) -> Future[None]:
        def work(db: Connection) -> None:
            changed = update(open_jobs).where(_THIS).values(changed_ms=now_ms, **changes)
            db.execute(changed, _place(own_of(db), key))

        return self._database.writer.submit(work)


def close_settled(db: Connection, receipt: Receipt) -> None:
    """Close the part that a countersigned receipt settles, inside the transaction of ``db``."""
    own = own_of(db)
    if receipt.coordinator == receipt.provider:
        return
    if receipt.coordinator == own:
        _close(db, PartKey("ordered", receipt.request_id, receipt.part, receipt.provider))
    elif receipt.provider == own:
        _close(db, PartKey("provided", receipt.request_id, receipt.part, receipt.coordinator))


def pending_credits(db: Connection, request_id: str) -> int:
    """``OpenJobs.pending_credits`` inside the transaction of ``db``."""
    return _pending(db, own_of(db), request_id)


def _pending(db: Connection, own: str, request_id: str) -> int:
    return int(db.execute(_PENDING, {"at_node": own, "of_request": request_id}).scalar() or 0)


def _add(db: Connection, job: OpenJob) -> None:
    place = _place(own_of(db), job.key)
    if db.execute(_THERE, place).first() is not None:
        return
    key = job.key
    row = {
        "node": own_of(db),
        "side": key.side,
        "request_id": key.request_id,
        "part": key.part,
        "peer": key.peer,
        "state": job.state,
        "terms": job.terms,
        "acknowledgement": job.acknowledgement,
        "credits": job.credits,
        "opened_ms": job.opened_ms,
        "changed_ms": job.changed_ms or job.opened_ms,
        "note": job.note,
    }
    db.execute(_INSERT, row)


def _close(db: Connection, key: PartKey) -> None:
    db.execute(_DELETE, _place(own_of(db), key))


def _place(own: str, key: PartKey) -> dict[str, object]:
    return {
        "at_node": own,
        "at_side": key.side,
        "of_request": key.request_id,
        "nth": key.part,
        "with_peer": key.peer,
    }


def _read(row: Row[tuple[object, ...]]) -> OpenJob:
    return OpenJob(
        key=PartKey(row.side, row.request_id, row.part, row.peer),
        terms=row.terms,
        credits=row.credits,
        opened_ms=row.opened_ms,
        state=row.state,
        acknowledgement=row.acknowledgement,
        changed_ms=row.changed_ms,
        note=row.note,
    )


_THIS = and_(
    open_jobs.c.node == bindparam("at_node"),
    open_jobs.c.side == bindparam("at_side"),
    open_jobs.c.request_id == bindparam("of_request"),
    open_jobs.c.part == bindparam("nth"),
    open_jobs.c.peer == bindparam("with_peer"),
)
_THERE = select(open_jobs.c.part).where(_THIS)
_FIND = select(open_jobs).where(_THIS)
_ALL = (
    select(open_jobs)
    .where(open_jobs.c.node == bindparam("at_node"))
    .order_by(open_jobs.c.opened_ms, open_jobs.c.request_id, open_jobs.c.part)
)
_DELETE = delete(open_jobs).where(_THIS)
_INSERT = insert(open_jobs)
_PENDING = select(func.sum(open_jobs.c.credits)).where(
    open_jobs.c.node == bindparam("at_node"),
    open_jobs.c.side == ORDERED,
    open_jobs.c.request_id == bindparam("of_request"),
)
