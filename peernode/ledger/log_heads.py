"""What other peers signed of their logs, remembered so that a peer that keeps two logs is caught with its own words.

Owns the memory (bounded: the newest words of a peer, and of all peers together) and the proofs of equivocation, which
are kept for good. Methods block.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from peernode.ledger.database import Database
from peernode.ledger.log_schema import equivocations, log_heads
from peernode.wire.log_head import LogHead, contradiction, open_head
from peernode.wire.proof import EquivocationProof, open_proof

MAX_OF_A_PEER = 8
MAX_IN_ALL = 8192
# A longer advert is held against those that are kept, but not kept itself.
MAX_KEPT_BYTES = 16 * 1024


class LogHeads:
    """Heads and proofs of one node; its own log is none of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own = database.own

    def see(self, heads: Sequence[LogHead], *, now_ms: int) -> list[EquivocationProof]:
        """Take in what was heard; the proofs against peers of whom there was none before."""
        return self._database.writer.run(lambda db: self._see(db, heads, now_ms))

    def add(self, proof: EquivocationProof, *, now_ms: int) -> bool:
        """Keep a proof that somebody else found; False when there is one of this peer already."""
        return self._database.writer.run(lambda db: self._keep_proof(db, proof, now_ms))

    def newest(self) -> dict[str, tuple[int, bytes]]:
        """Size and root of the last word of each peer."""
        newest = select(func.max(log_heads.c.id)).where(log_heads.c.node == self._own).group_by(log_heads.c.peer)
        query = select(log_heads.c.peer, log_heads.c.size, log_heads.c.root).where(log_heads.c.id.in_(newest))
        with self._database.reader() as db:
            return {row.peer: (row.size, row.root) for row in db.execute(query)}

    def of(self, peer: str) -> list[LogHead]:
        """What is remembered of one peer, the smallest log first."""
        with self._database.reader() as db:
            found = self._known(db, peer)
        return sorted(found, key=lambda head: head.size)

    def proofs(self) -> list[EquivocationProof]:
        """Of all peers that were caught."""
        query = select(equivocations.c.proof).where(equivocations.c.node == self._own).order_by(equivocations.c.peer)
        with self._database.reader() as db:
            opened = [open_proof(row.proof) for row in db.execute(query)]
        return [proof for proof in opened if isinstance(proof, EquivocationProof)]

    def _see(self, db: Connection, heads: Iterable[LogHead], now_ms: int) -> list[EquivocationProof]:
        found = []
        for head in heads:
            known = self._known(db, head.peer)
            proofs = [EquivocationProof.of(old, head) for old in known if contradiction(old, head)]
            if proofs and self._keep_proof(db, proofs[0], now_ms):
                found.append(proofs[0])
            if len(head.raw) <= MAX_KEPT_BYTES and (head.size, head.root) not in {(k.size, k.root) for k in known}:
                self._remember(db, head, now_ms)
        return found

    def _known(self, db: Connection, peer: str) -> list[LogHead]:
        query = select(log_heads.c.kind, log_heads.c.raw)
        query = query.where(log_heads.c.node == self._own, log_heads.c.peer == peer)
        return [open_head(row.kind, row.raw) for row in db.execute(query)]

    def _remember(self, db: Connection, head: LogHead, now_ms: int) -> None:
        db.execute(
            insert(log_heads).values(
                node=self._own,
                peer=head.peer,
                size=head.size,
                root=head.root,
                kind=head.kind,
                raw=head.raw,
                seen_ms=now_ms,
            )
        )
        _forget(db, MAX_OF_A_PEER, log_heads.c.node == self._own, log_heads.c.peer == head.peer)
        _forget(db, MAX_IN_ALL, log_heads.c.node == self._own)

    def _keep_proof(self, db: Connection, proof: EquivocationProof, now_ms: int) -> bool:
        known = select(equivocations.c.peer).where(equivocations.c.node == self._own)
        if proof.peer == self._own or db.execute(known.where(equivocations.c.peer == proof.peer)).first():
            return False
        row = {"node": self._own, "peer": proof.peer, "proof": proof.raw, "found_ms": now_ms}
        db.execute(insert(equivocations).values(row))
        return True


def _forget(db: Connection, most: int, *whose: ColumnElement[bool]) -> None:
    """All but the ``most`` newest of them."""
    last = select(log_heads.c.id).where(*whose).order_by(log_heads.c.id.desc()).offset(most).limit(1)
    if (newest := db.execute(last).scalar()) is not None:
        db.execute(delete(log_heads).where(*whose, log_heads.c.id <= newest))
