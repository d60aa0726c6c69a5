"""The node's recovery of receipts: its parts put together, and what the operator sees of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from peernode.ledger import ReceiptStore
from peernode.ledger.log import ReceiptLog
from peernode.market.desk import ReceiptDesk
from peernode.market.log_audit import LogAnswers
from peernode.market.recovery.peers import DirectoryPeers
from peernode.market.recovery.recovery import Recovery
from peernode.market.recovery.service import ReceiptService
from peernode.market.service import JobService
from peernode.mesh import Mesh
from peernode.node.recovery_config import RecoveryConfig
from peernode.wire.receipt_frames import PROTOCOL


class NodeRecovery:
    """``run`` beside the mesh. ``release`` and ``running`` are those of ``Recovery``."""

    def __init__(
        self,
        config: RecoveryConfig,
        *,
        mesh: Mesh,
        store: ReceiptStore,
        desk: ReceiptDesk,
        jobs: JobService,
        rng: random.Random,
        clock_ms: Callable[[], int],
        release: Callable[[str], object],
        running: Callable[[str], bool],
    ) -> None:
        service = ReceiptService(
            mesh=mesh,
            store=store,
            ordered=desk.parts,
            provided=jobs.parts,
            keep=jobs.keep,
            answer_log=LogAnswers(ReceiptLog(store.database)).answer,
        )
        mesh.handle(PROTOCOL, service.handle)
        self._recovery = Recovery(
            service,
            DirectoryPeers(mesh.directory),
            rng=rng,
            clock_ms=clock_ms,
            give_up_s=config.give_up_days * 86_400.0,
            release=release,
            running=running,
        )

    async def run(self) -> None:
        """Resolve open parts until cancelled."""
        await self._recovery.run()

    async def open_parts(self) -> Sequence[Mapping[str, Any]]:
        """Open parts as plain JSON values."""
        return await self._recovery.open_parts()

    async def look(self) -> Sequence[Mapping[str, Any]]:
        """Ask about all of them now; what came of each."""
        return [
            {
                "request_id": each.key.request_id,
                "part": each.key.part,
                "role": "coordinator" if each.key.side == "ordered" else "provider",
                "peer": each.key.peer,
                "outcome": each.outcome,
                "cause": each.cause,
            }
            for each in await self._recovery.look()
        ]
