"""A node's log of receipts: all it signed as a provider, in order, under one Merkle root.

Owns reading it: size, roots, proofs; and the checkpoints that this node signed. Growing it is ``log_tree``'s, inside
the transaction that stores a receipt; checking it from its entries is ``log_verification``'s. Methods block.
"""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection, Select, func, insert, select, update

from peernode.ledger.database import Database
from peernode.ledger.log_schema import log_adverts, log_checkpoints
from peernode.ledger.log_tree import read_entry, read_node
from peernode.ledger.schema import receipts
from peernode.wire.checkpoint import SignedCheckpoint, open_checkpoint
from peernode.wire.merkle import Nodes, consistency_path, inclusion_path, root_of
from peernode.wire.receipt import SignedReceipt, open_receipt


class ReceiptLog:
    """The log of the node that ``database`` is open for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own = database.own

    @property
    def own(self) -> str:
        return self._own

    def size(self) -> int:
        """How many receipts."""
        with self._database.reader() as db:
            return self._size(db)

    def head(self) -> tuple[int, bytes]:
        """Size and root, of one moment."""
        with self._database.reader() as db:
            size = self._size(db)
            return size, root_of(size, self._nodes(db))

    def root(self, size: int) -> bytes:
        """The root that the log had with ``size`` entries. Raises LogBroken when it never had as many."""
        with self._database.reader() as db:
            return root_of(size, self._nodes(db))

    def entry(self, seq: int) -> SignedReceipt:
        """Receipt number ``seq``. Raises LogBroken when there is none."""
        with self._database.reader() as db:
            return open_receipt(read_entry(db, self._own, seq))

    def inclusion(self, seq: int, size: int) -> tuple[bytes, ...]:
        """The path from receipt ``seq`` to the root of ``size`` entries. Raises ValueError when it is not there."""
        with self._database.reader() as db:
            return tuple(inclusion_path(seq - 1, size, self._nodes(db)))

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The path that shows that ``old`` entries are the beginning of ``new``. Raises ValueError, LogBroken."""
        with self._database.reader() as db:
            return tuple(consistency_path(old, new, self._nodes(db)))

    def keep_checkpoint(self, signed: SignedCheckpoint, *, now_ms: int) -> SignedCheckpoint:
        """Keep this node's own word; of one size there is one, and the one that is kept is given back."""
        made = signed.checkpoint

        def work(db: Connection) -> SignedCheckpoint:
            if held := db.execute(self._checkpoints().where(log_checkpoints.c.size == made.size)).first():
                return open_checkpoint(held.raw)
            row = {"node": self._own, "size": made.size, "root": made.root, "raw": signed.raw, "recorded_ms": now_ms}
            db.execute(insert(log_checkpoints).values(row))
            return signed

        return self._database.writer.run(work)

    def newest_checkpoint(self) -> SignedCheckpoint | None:
        """The largest log that this node ever signed for."""
        with self._database.reader() as db:
            row = db.execute(self._checkpoints().order_by(log_checkpoints.c.size.desc()).limit(1)).first()
        return open_checkpoint(row.raw) if row else None

    def checkpoints(self) -> dict[int, bytes]:
        """All roots that this node signed for, by size."""
        query = select(log_checkpoints.c.size, log_checkpoints.c.root).where(log_checkpoints.c.node == self._own)
        with self._database.reader() as db:
            return {row.size: row.root for row in db.execute(query.order_by(log_checkpoints.c.size))}

    def advertised(self) -> int:
        """The highest number of an advert that spoke of this log; 0 when none did."""
        with self._database.reader() as db:
            return int(db.execute(select(log_adverts.c.seq).where(log_adverts.c.node == self._own)).scalar() or 0)

    def advertise(self, seq: int) -> None:
        """Remember, before it leaves, that advert ``seq`` speaks of this log."""

        def work(db: Connection) -> None:
            known = db.execute(select(log_adverts.c.seq).where(log_adverts.c.node == self._own)).scalar()
            if known is None:
                db.execute(insert(log_adverts).values(node=self._own, seq=seq))
            elif known < seq:
                db.execute(update(log_adverts).where(log_adverts.c.node == self._own).values(seq=seq))

        self._database.writer.run(work)

    def _size(self, db: Connection) -> int:
        own = self._own
        query = select(func.max(receipts.c.seq)).where(receipts.c.node == own, receipts.c.provider == own)
        return int(db.execute(query).scalar() or 0)

    def _nodes(self, db: Connection) -> Nodes:
        return partial(read_node, db, self._own)

    def _checkpoints(self) -> Select[tuple[bytes]]:
        return select(log_checkpoints.c.raw).where(log_checkpoints.c.node == self._own)
