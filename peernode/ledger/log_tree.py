"""The Merkle tree over a node's own receipts, kept in the database as it grows.

An entry is a receipt's envelope, in order of ``seq``: entry 0 is the receipt with seq 1. Only subtrees above the leaves
are rows of their own, half as many as there are receipts. Appending, roots and proofs cost O(log n) reads.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, select, tuple_

from peernode.ledger.database import own_of
from peernode.ledger.log_errors import broken
from peernode.ledger.log_schema import log_nodes
from peernode.ledger.schema import receipts
from peernode.wire.merkle import Place, completed_by, leaf_hash, node_hash


def append_entry(db: Connection, seq: int, raw: bytes) -> None:
    """Take this node's next receipt into its tree, in the transaction that is about to store it.

    Raises LogBroken when it is not the next: a log has no gaps and no forks.
    """
    own = own_of(db)
    at = {"at": own, "by": own, "least": seq - 1}
    before = [(row.seq, row.raw) for row in db.execute(_FROM, at)]
    if [number for number, _ in before] != ([seq - 1] if seq > 1 else []):
        raise broken(f"receipt {seq} is not the next one")
    places = completed_by(seq - 1)
    if not places:
        return
    left = {(0, seq - 2): leaf_hash(before[0][1]), **_kept(db, own, [(level, at - 1) for level, at in places[:-1]])}
    rows, made, level, position = [], leaf_hash(raw), 0, seq - 1
    for place in places:
        beside = left.get((level, position - 1))
        if beside is None:
            raise _gap((level, position - 1))
        made, (level, position) = node_hash(beside, made), place
        rows.append({"node": own, "level": level, "position": position, "hash": made})
    db.execute(_INSERT, rows)


def read_node(db: Connection, own: str, level: int, position: int) -> bytes:
    """The hash at a place of the tree. Raises LogBroken when the ledger does not have it."""
    if level == 0:
        return leaf_hash(read_entry(db, own, position + 1))
    found: bytes | None = db.execute(_NODE, {"at": own, "height": level, "place": position}).scalar()
    if found is None:
        raise _gap((level, position))
    return found


def read_entry(db: Connection, own: str, seq: int) -> bytes:
    """This node's receipt number ``seq`` as it was signed. Raises LogBroken when it is not there."""
    raw: bytes | None = db.execute(_ENTRY, {"at": own, "by": own, "number": seq}).scalar()
    if raw is None:
        raise _gap((0, seq - 1))
    return raw


def _kept(db: Connection, own: str, places: list[Place]) -> dict[Place, bytes]:
    if not places:
        return {}
    query = select(log_nodes.c.level, log_nodes.c.position, log_nodes.c.hash).where(
        log_nodes.c.node == own, tuple_(log_nodes.c.level, log_nodes.c.position).in_(places)
    )
    return {(row.level, row.position): row.hash for row in db.execute(query)}


def _gap(place: Place) -> Exception:
    return broken(f"there is nothing at level {place[0]}, position {place[1]} of its tree")


_OWN = (receipts.c.node == bindparam("at"), receipts.c.provider == bindparam("by"))
_FROM = select(receipts.c.seq, receipts.c.raw).where(*_OWN, receipts.c.seq >= bindparam("least")).limit(2)
_ENTRY = select(receipts.c.raw).where(*_OWN, receipts.c.seq == bindparam("number"))
_NODE = select(log_nodes.c.hash).where(
    log_nodes.c.node == bindparam("at"),
    log_nodes.c.level == bindparam("height"),
    log_nodes.c.position == bindparam("place"),
)
_INSERT = insert(log_nodes)
