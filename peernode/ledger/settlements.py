"""Settlement notes: made by this node as creditor, kept as debtor, and which of them their debtors hold.

Posting a note and keeping it is one transaction. Every method that writes returns when it is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from peernode.ledger.books import post
from peernode.ledger.database import Database
from peernode.ledger.errors import LedgerError
from peernode.ledger.events import SETTLED, Event, Posting, owed, owes
from peernode.ledger.line_records import KeptNote
from peernode.ledger.lines_schema import note_deliveries, settlement_notes
from peernode.wire.settlement_note import SignedSettlementNote


class SettlementConflict(LedgerError):
    """A note does not go on from the newest one between the two."""

    code = "settlement_conflict"


class Settlements:
    """The notes of one node's ``database``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own = database.own

    def settle(self, build: Callable[[int], SignedSettlementNote], debtor: str, *, now_ms: int) -> SignedSettlementNote:
        """As creditor, post the next note for ``debtor``: ``build(settled so far)`` signs it inside the transaction."""

        def make(db: Connection) -> SignedSettlementNote:
            signed = build(self._newest(db, self._own, debtor))
            self._post_note(db, signed, signed.note.amount, now_ms)
            return signed

        return self._database.writer.run(make)

    def post_note(self, signed: SignedSettlementNote, *, now_ms: int) -> int:
        """As debtor, keep a creditor's note; returns the newest settled total. One that is not newer changes nothing.

        What is posted is what the total grew by, so that a note that was lost on the way does not matter.
        """
        note = signed.note

        def post_it(db: Connection) -> int:
            known = self._newest(db, note.creditor, note.debtor)
            if note.settled <= known:
                return known
            self._post_note(db, signed, note.settled - known, now_ms)
            return note.settled

        return self._database.writer.run(post_it)

    def _newest(self, db: Connection, creditor: str, debtor: str) -> int:
        query = select(func.max(settlement_notes.c.settled)).where(
            settlement_notes.c.node == self._own,
            settlement_notes.c.creditor == creditor,
            settlement_notes.c.debtor == debtor,
        )
        return int(db.execute(query).scalar() or 0)

    def _post_note(self, db: Connection, signed: SignedSettlementNote, grown: int, now_ms: int) -> None:
        """``grown`` micro-credits less between the two, and the row that says why."""
        note = signed.note
        newest = self._newest(db, note.creditor, note.debtor)
        if note.settled - grown != newest:
            raise SettlementConflict("The settlement note does not go on from the newest one.", cause=str(newest))
        if note.creditor == self._own:
            side, postings = "given", (Posting(owes(note.debtor), -grown), Posting(SETTLED, grown))
        else:
            side, postings = "taken", (Posting(owed(note.creditor), grown), Posting(SETTLED, -grown))
        key = f"settlement:{note.creditor}:{note.debtor}:{note.settled}:{side}"
        remark = note.reference[:256]
        post(db, Event(key, "settlement", postings, now_ms, about=signed.envelope.digest.hex(), note=remark))
        db.execute(
            insert(settlement_notes).values(
                node=self._own,
                creditor=note.creditor,
                debtor=note.debtor,
                settled=note.settled,
                amount=note.amount,
                reference=note.reference,
                raw=signed.raw,
                recorded_ms=now_ms,
            )
        )

    def notes(self, peer: str = "", *, limit: int = 1000) -> list[KeptNote]:
        """With one peer or with all, the newest first."""
        query = self._notes().order_by(settlement_notes.c.recorded_ms.desc(), settlement_notes.c.settled.desc())
        if peer:
            query = query.where((settlement_notes.c.creditor == peer) | (settlement_notes.c.debtor == peer))
        with self._database.reader() as db:
            return [_kept(row) for row in db.execute(query.limit(limit))]

    def undelivered(self) -> list[KeptNote]:
        """The newest note of each debtor that does not hold it yet."""
        held = (
            select(note_deliveries.c.settled)
            .where(note_deliveries.c.node == self._own, note_deliveries.c.debtor == settlement_notes.c.debtor)
            .scalar_subquery()
        )
        query = (
            self._notes()
            .where(settlement_notes.c.creditor == self._own, settlement_notes.c.settled > func.coalesce(held, 0))
            .order_by(settlement_notes.c.settled)
        )
        with self._database.reader() as db:
            newest = {row.debtor: _kept(row) for row in db.execute(query)}
        return list(newest.values())

    def delivered(self, debtor: str, settled: int) -> None:
        """The debtor says that it holds notes up to ``settled``."""

        def note(db: Connection) -> None:
            here = (note_deliveries.c.node == self._own, note_deliveries.c.debtor == debtor)
            if not db.execute(update(note_deliveries).where(*here).values(settled=settled)).rowcount:
                db.execute(insert(note_deliveries).values(node=self._own, debtor=debtor, settled=settled))

        self._database.writer.run(note)

    def _notes(self) -> Select[tuple[object, ...]]:
        return select(settlement_notes).where(settlement_notes.c.node == self._own)


def _kept(row: Row[tuple[object, ...]]) -> KeptNote:
    return KeptNote(row.creditor, row.debtor, row.settled, row.amount, row.reference, row.raw, row.recorded_ms)
