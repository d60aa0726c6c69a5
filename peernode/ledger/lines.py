"""What the ledger knows of credit between this node and its peers: totals, what they earned, unsigned jobs and marks.

Owns the rows; what they mean for the next job is the market's. Methods that begin with ``soon`` return before it is on
the disk, so that no job waits for them. Totals are read from vouchers and notes, never stored beside them.
"""

from __future__ import annotations

from sqlalchemy import Connection, Delete, delete, func, insert, select, update

from peernode.ledger.database import Database
from peernode.ledger.line_records import Earned, Mark, Totals, UnsignedJob
from peernode.ledger.lines_schema import credit_lines, peer_marks, settlement_notes, unsigned_jobs
from peernode.ledger.schema import countersignatures, receipts


class Lines:
    """Rows of one node's ``database``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own = database.own

    def totals(self) -> list[Totals]:
        """Of every peer with whom there is anything."""
        with self._database.reader() as db:
            given, taken = self._vouchers(db)
            paid, repaid = self._settled(db)
        peers = sorted(given.keys() | taken.keys() | paid.keys() | repaid.keys())
        return [
            Totals(peer, given.get(peer, 0), taken.get(peer, 0), paid.get(peer, 0), repaid.get(peer, 0))
            for peer in peers
        ]

    def _vouchers(self, db: Connection) -> tuple[dict[str, int], dict[str, int]]:
        """Newest totals: of peers to this node, and of this node to peers. A node owes itself nothing."""
        rows = db.execute(
            select(
                countersignatures.c.coordinator,
                countersignatures.c.provider,
                func.max(countersignatures.c.cumulative).label("newest"),
            )
            .where(countersignatures.c.node == self._own)
            .group_by(countersignatures.c.coordinator, countersignatures.c.provider)
        ).all()
        given = {row.coordinator: row.newest for row in rows if row.provider == self._own != row.coordinator}
        taken = {row.provider: row.newest for row in rows if row.coordinator == self._own != row.provider}
        return given, taken

    def _settled(self, db: Connection) -> tuple[dict[str, int], dict[str, int]]:
        rows = db.execute(
            select(
                settlement_notes.c.creditor,
                settlement_notes.c.debtor,
                func.max(settlement_notes.c.settled).label("newest"),
            )
            .where(settlement_notes.c.node == self._own)
            .group_by(settlement_notes.c.creditor, settlement_notes.c.debtor)
        ).all()
        paid = {row.debtor: row.newest for row in rows if row.creditor == self._own}
        repaid = {row.creditor: row.newest for row in rows if row.debtor == self._own}
        return paid, repaid

    def service_of(self, peer: str) -> list[tuple[int, int]]:
        """(cumulative, recorded_ms) of this node's vouchers to ``peer``, in order: how its credit was earned."""
        query = (
            select(countersignatures.c.cumulative, countersignatures.c.recorded_ms)
            .where(
                countersignatures.c.node == self._own,
                countersignatures.c.coordinator == self._own,
                countersignatures.c.provider == peer,
            )
            .order_by(countersignatures.c.cumulative)
        )
        with self._database.reader() as db:
            return [(row.cumulative, row.recorded_ms) for row in db.execute(query)]

    def earned(self) -> list[Earned]:
        with self._database.reader() as db:
            rows = db.execute(select(credit_lines).where(credit_lines.c.node == self._own)).all()
        return [Earned(row.peer, row.earned, row.earned_ms, row.counted, row.active_ms) for row in rows]

    def soon_keep(self, earned: Earned) -> None:
        """Replace what is known of a peer's credit."""
        values = {
            "earned": earned.earned,
            "earned_ms": earned.earned_ms,
            "counted": earned.counted,
            "active_ms": earned.active_ms,
        }

        def keep(db: Connection) -> None:
            here = (credit_lines.c.node == self._own, credit_lines.c.peer == earned.peer)
            if not db.execute(update(credit_lines).where(*here).values(values)).rowcount:
                db.execute(insert(credit_lines).values(node=self._own, peer=earned.peer, **values))

        self._database.writer.submit(keep)

    def unsigned(self) -> list[UnsignedJob]:
        """Those that really are: a crash may have come between a countersignature and the note of it."""
        signed = (
            select(receipts.c.digest)
            .join(
                countersignatures,
                (countersignatures.c.node == receipts.c.node)
                & (countersignatures.c.receipt_digest == receipts.c.digest),
            )
            .where(
                receipts.c.node == unsigned_jobs.c.node,
                receipts.c.request_id == unsigned_jobs.c.request_id,
                receipts.c.part == unsigned_jobs.c.part,
                receipts.c.coordinator == unsigned_jobs.c.peer,
                receipts.c.recorded_ms >= unsigned_jobs.c.at_ms,
            )
        )
        query = select(unsigned_jobs).where(unsigned_jobs.c.node == self._own, ~signed.exists())
        with self._database.reader() as db:
            rows = db.execute(query).all()
        return [
            UnsignedJob(row.request_id, row.part, row.peer, row.credits, row.withheld, row.reason, row.at_ms)
            for row in rows
        ]

    def soon_leave_unsigned(self, job: UnsignedJob) -> None:
        """Note, or note anew, that this job was not signed for."""

        def note(db: Connection) -> None:
            db.execute(self._job(job.peer, job.request_id, job.part))
            db.execute(
                insert(unsigned_jobs).values(
                    node=self._own,
                    request_id=job.request_id,
                    part=job.part,
                    peer=job.peer,
                    credits=job.credits,
                    withheld=job.withheld,
                    reason=job.reason[:512],
                    at_ms=job.at_ms,
                )
            )

        self._database.writer.submit(note)

    def soon_sign(self, peer: str, request_id: str, part: int) -> None:
        """This job is signed for, or nothing is owed for it."""
        self._database.writer.submit(lambda db: db.execute(self._job(peer, request_id, part)).rowcount)

    def _job(self, peer: str, request_id: str, part: int) -> Delete:
        return delete(unsigned_jobs).where(
            unsigned_jobs.c.node == self._own,
            unsigned_jobs.c.peer == peer,
            unsigned_jobs.c.request_id == request_id,
            unsigned_jobs.c.part == part,
        )

    def soon_mark(self, mark: Mark) -> None:
        values = {
            "node": self._own,
            "peer": mark.peer[:64],
            "kind": mark.kind,
            "reason": mark.reason[:512],
            "request_id": mark.request_id[:64],
            "at_ms": mark.at_ms,
        }
        self._database.writer.submit(lambda db: db.execute(insert(peer_marks).values(values)).rowcount)

    def marks(self, *, since_ms: int = 0, limit: int = 1000) -> list[Mark]:
        """The newest first."""
        query = (
            select(peer_marks)
            .where(peer_marks.c.node == self._own, peer_marks.c.at_ms >= since_ms)
            .order_by(peer_marks.c.id.desc())
            .limit(limit)
        )
        with self._database.reader() as db:
            return [Mark(row.peer, row.kind, row.reason, row.request_id, row.at_ms) for row in db.execute(query)]
