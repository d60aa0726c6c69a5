"""This node's log of receipts and its watch over those of others, as its other parts need them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import structlog

from peernode.ledger import Database
from peernode.ledger.log import ReceiptLog
from peernode.ledger.log_heads import LogHeads
from peernode.ledger.log_verification import verify_log
from peernode.market.log_audit import LogAuditor
from peernode.market.log_keeper import LogKeeper
from peernode.market.log_watch import LogWatch
from peernode.mesh import Mesh
from peernode.wire.identity import Identity

log = structlog.get_logger(__name__)


class OwnLog:
    """``keeper`` signs for the log, ``run`` watches the adverts of others; ``shun`` as for ``LogWatch``."""

    def __init__(
        self,
        database: Database,
        *,
        identity: Identity,
        network: str,
        mesh: Mesh,
        clock_ms: Callable[[], int],
        shun: Callable[[str, str], None],
    ) -> None:
        self.keeper = LogKeeper(identity=identity, network=network, log=ReceiptLog(database), clock_ms=clock_ms)
        self._watch = LogWatch(
            directory=mesh.directory, heads=LogHeads(database), own=identity.peer_id, clock_ms=clock_ms, shun=shun
        )

        self._auditor = LogAuditor(mesh=mesh, database=database)

    async def audit(self, peer: str) -> Mapping[str, Any]:
        """Hold a peer's log against its own words, as plain JSON values. Raises a MeshError or a JobError."""
        return asdict(await self._auditor.audit(peer))

    async def run(self) -> None:
        """Watch until cancelled."""
        await self._watch.run()

    def view(self) -> Mapping[str, Any] | None:
        """The newest checkpoint as operators see it; None while there is none."""
        if (newest := self.keeper.newest) is None:
            return None
        made = newest.checkpoint
        return {"size": made.size, "root": made.root.hex(), "at_ms": made.at_ms}

    def caught(self) -> Mapping[str, str]:
        """Why peers are not asked any more: what they signed of their logs contradicts itself."""
        return {peer: proof.reason for peer, proof in self._watch.caught().items()}


def check_log(database: Database) -> None:
    """At start, from the newest checkpoint on. Raises LogBroken: what does not verify must not be signed for again."""
    verified = verify_log(database)
    log.info("log_verified", size=verified.size, since=verified.first, root=verified.root.hex())
