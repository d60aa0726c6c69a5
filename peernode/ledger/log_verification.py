"""Checking a node's log from its entries: that it is whole, that every receipt is as it was signed, that the tree and
every checkpoint follow from them.

From its first entry, or (at start) from the newest checkpoint on, whose root the tree must give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, and_, func, select

from peernode.ledger.database import Database
from peernode.ledger.log_errors import broken
from peernode.ledger.log_schema import log_checkpoints, log_nodes
from peernode.ledger.log_tree import read_node
from peernode.ledger.schema import receipts
from peernode.wire.checkpoint import Checkpoint, open_checkpoint
from peernode.wire.envelope import unseal
from peernode.wire.errors import WireError
from peernode.wire.merkle import Frontier, Place, leaf_hash, root_of
from peernode.wire.receipt import KIND, MAX_RECEIPT_BYTES, NO_PREVIOUS, Receipt

CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Verified:
    """A log that is whole: its entries from number ``first`` (0 is from the beginning) up to ``size``."""

    first: int
    size: int
    root: bytes


def verify_log(
    database: Database,
    *,
    whole: bool = False,
    signatures: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Verified:
    """Check the log of the node that ``database`` is open for. ``progress`` is told how many entries are done.

    ``whole`` begins at the first entry, else it begins behind the newest checkpoint. With ``signatures`` the one on
    each receipt is checked, too; without, what this node signed is what its tree says. Raises LogBroken.
    """
    with database.reader() as db:
        return _Verification(db, database.own, whole, signatures).run(progress)


class _Entry(NamedTuple):
    seq: int
    digest: bytes
    raw: bytes


class _Verification:
    def __init__(self, db: Connection, own: str, whole: bool, signatures: bool) -> None:
        self._db = db
        self._own = own
        self._whole = whole
        self._signatures = signatures
        self._mine = and_(receipts.c.node == own, receipts.c.provider == own)

    def run(self, progress: Callable[[int], None]) -> Verified:
        signed = self._checkpoints()
        first = 0 if self._whole or not signed else signed[-1].size
        frontier, previous = self._begin(first, signed)
        roots = {made.size: made.root for made in signed if made.size > first}
        while rows := self._entries(frontier.size):
            before, made = frontier.size, dict[Place, bytes]()
            for row in rows:
                made.update(frontier.append(self._leaf(row, frontier.size + 1, previous)))
                previous = row.digest
                signed_root = roots.pop(frontier.size, None)
                if signed_root is not None and signed_root != frontier.root():
                    raise broken(f"the checkpoint of {frontier.size} receipts has another root")
            self._compare(before, frontier.size, made)
            progress(frontier.size)
        if roots:
            raise broken(f"{frontier.size} receipts are here, and {max(roots)} were signed for")
        self._count(frontier.size)
        return Verified(first, frontier.size, frontier.root())

    def _begin(self, first: int, signed: Sequence[Checkpoint]) -> tuple[Frontier, bytes]:
        """The tree after ``first`` entries, as a checkpoint has it, and the digest of the last of them."""
        if not first:
            return Frontier(), NO_PREVIOUS
        nodes = partial(read_node, self._db, self._own)
        if root_of(first, nodes) != signed[-1].root:
            raise broken(f"the checkpoint of {first} receipts has another root")
        digest = self._db.execute(select(receipts.c.digest).where(self._mine, receipts.c.seq == first)).scalar()
        if digest is None:
            raise broken(f"receipt {first} is missing")
        return Frontier.of(first, nodes), digest

    def _checkpoints(self) -> list[Checkpoint]:
        """What this node signed for, the smallest log first. At start the newest alone is looked at."""
        query = select(log_checkpoints.c.raw).where(log_checkpoints.c.node == self._own)
        query = query.order_by(log_checkpoints.c.size.desc())
        if not self._whole:
            query = query.limit(1)
        try:
            signed = [open_checkpoint(row.raw).checkpoint for row in self._db.execute(query)]
        except WireError as err:
            raise broken(f"a checkpoint: {err}") from err
        if any(made.peer != self._own for made in signed):
            raise broken("a checkpoint is by another peer")
        return signed[::-1]

    def _entries(self, size: int) -> list[_Entry]:
        query = select(receipts.c.seq, receipts.c.digest, receipts.c.raw)
        query = query.where(self._mine, receipts.c.seq > size).order_by(receipts.c.seq).limit(CHUNK)
        return [_Entry(*row) for row in self._db.execute(query)]

    def _leaf(self, row: _Entry, seq: int, previous: bytes) -> bytes:
        """The leaf hash of a receipt, which must be as it was signed, and at its place."""
        try:
            envelope, fields = unseal(KIND, row.raw, max_bytes=MAX_RECEIPT_BYTES)
            receipt = Receipt.from_fields(fields)
            if self._signatures:
                envelope.check_signed_by(self._own)
        except WireError as err:
            raise broken(f"receipt {seq}: {err}") from err
        if row.seq != seq or receipt.seq != seq:
            raise broken(f"receipt {seq} is missing, number {row.seq} comes instead")
        if receipt.provider != self._own or envelope.digest != row.digest:
            raise broken(f"receipt {seq} is not the one that was signed")
        if receipt.previous != previous:
            raise broken(f"receipt {seq} does not follow the one before it")
        return leaf_hash(row.raw)

    def _compare(self, before: int, size: int, made: dict[Place, bytes]) -> None:
        """That the tree has what the entries from ``before`` to ``size`` make, and nothing else among it."""
        kept: dict[Place, bytes] = {}
        for level in range(1, size.bit_length()):
            query = select(log_nodes.c.position, log_nodes.c.hash).where(
                log_nodes.c.node == self._own,
                log_nodes.c.level == level,
                log_nodes.c.position >= before >> level,
                log_nodes.c.position < size >> level,
            )
            kept.update(((level, row.position), row.hash) for row in self._db.execute(query))
        if kept != made:
            raise broken(f"its tree does not follow from receipts {before + 1} to {size}")

    def _count(self, size: int) -> None:
        kept = self._db.execute(select(func.count()).where(log_nodes.c.node == self._own)).scalar_one()
        if kept != size - size.bit_count():
            raise broken(f"its tree has {kept} nodes, where {size} receipts make {size - size.bit_count()}")
