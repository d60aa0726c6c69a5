"""Logs of others, held against their own words: that one only grew, and that receipts for this node's jobs are in it.

Asked on an operator's request, and answered by every node for its own log. What does not follow is told, but proves
nothing to others: only two signed words that contradict each other do (``log_watch``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
import trio

from peernode.chat.errors import BadRequest
from peernode.ledger import Database
from peernode.ledger.log import ReceiptLog
from peernode.ledger.log_errors import LogBroken
from peernode.ledger.log_heads import LogHeads
from peernode.ledger.receipt_scan import Wanted, scan
from peernode.market.patience import DIAL_S
from peernode.market.recovery.talk import ReceiptTalk, Refused
from peernode.mesh import Mesh
from peernode.wire.errors import BadProof
from peernode.wire.log_frames import GrowthFrame, LogAsk, PathFrame, PlaceFrame
from peernode.wire.log_head import LogHead
from peernode.wire.merkle import check_consistency, check_inclusion, leaf_hash
from peernode.wire.receipt import SignedReceipt, open_receipt
from peernode.wire.receipt_frames import PROTOCOL

log = structlog.get_logger(__name__)

# The newest receipts of a peer that one audit asks for.
MOST_RECEIPTS = 256


@dataclass(slots=True)
class Audit:
    """What was asked of ``peer`` whose log has ``size`` receipts by its own word, and what it could not show."""

    peer: str
    size: int = 0
    heads: int = 0
    receipts: int = 0
    failed: list[str] = field(default_factory=list)


class LogAnswers:
    """This node's log as others ask about it."""

    def __init__(self, own: ReceiptLog) -> None:
        self._own = own

    async def answer(self, ask: LogAsk) -> PathFrame:
        """Raises BadRequest for a log that this node never had."""
        try:
            path = await trio.to_thread.run_sync(self._path, ask)
        except (ValueError, LogBroken) as err:
            raise BadRequest("The log of this node never was like that.", cause=str(err)[:200]) from err
        return PathFrame(b"".join(path))

    def _path(self, ask: LogAsk) -> tuple[bytes, ...]:
        if isinstance(ask, PlaceFrame):
            return self._own.inclusion(ask.seq, ask.size)
        return self._own.consistency(ask.old, ask.new)


class LogAuditor:
    """Asks over ``mesh`` by what is remembered in ``database``."""

    def __init__(self, *, mesh: Mesh, database: Database) -> None:
        self._mesh = mesh
        self._database = database
        self._heads = LogHeads(database)

    async def audit(self, peer: str) -> Audit:
        """Raises a MeshError or a JobError when the peer cannot be asked."""
        heads = await trio.to_thread.run_sync(self._heads.of, peer)
        audit = Audit(peer)
        if not heads:
            return audit
        newest = heads[-1]
        audit.size = newest.size
        for head in heads[:-1]:
            audit.heads += 1
            ask = GrowthFrame(head.size, newest.size)
            await self._check(audit, f"that it grew from {head.size} receipts", ask, head, newest)
        for signed in await trio.to_thread.run_sync(self._receipts_in, newest):
            audit.receipts += 1
            place = PlaceFrame(signed.receipt.seq, newest.size)
            await self._check(audit, f"that {signed.receipt.request_id} is in it", place, signed, newest)
        if audit.failed:
            log.warning("log_does_not_hold", peer=peer, size=newest.size, failed=audit.failed[:5])
        return audit

    async def _check(
        self, audit: Audit, what: str, ask: LogAsk, known: LogHead | SignedReceipt, newest: LogHead
    ) -> None:
        try:
            path = await self._ask(audit.peer, ask)
            if isinstance(known, LogHead):
                check_consistency(known.size, newest.size, path, known.root, newest.root)
            else:
                index = known.receipt.seq - 1
                check_inclusion(leaf_hash(known.raw), index, newest.size, path, newest.root)
        except (BadProof, Refused) as err:
            audit.failed.append(f"{what}: {err.cause or err.sentence}")

    async def _ask(self, peer: str, ask: LogAsk) -> Sequence[bytes]:
        async with self._mesh.open(peer, PROTOCOL, timeout_s=DIAL_S, speak_first=True) as stream:
            talk = ReceiptTalk(stream)
            await talk.send(ask)
            return (await talk.expect(PathFrame)).hashes

    def _receipts_in(self, newest: LogHead) -> list[SignedReceipt]:
        """Of jobs that this node ordered there and that peer's newest word covers, the newest ones."""
        raws = deque((raw for raw, _ in scan(self._database, Wanted(peer=newest.peer))), maxlen=2 * MOST_RECEIPTS)
        signed = [open_receipt(raw) for raw in raws]
        there = [each for each in signed if each.receipt.provider == newest.peer and each.receipt.seq <= newest.size]
        return there[-MOST_RECEIPTS:]
