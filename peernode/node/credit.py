"""Credit between this node and others, put together: lines, repute, settlement notes, and the view of them."""

from __future__ import annotations

from collections.abc import Callable

from peernode.ledger import Books, Database
from peernode.ledger.lines import Lines
from peernode.ledger.settlements import Settlements
from peernode.ledger.supply import Supply
from peernode.market.credit.lines import CreditLines
from peernode.market.credit.repute import Repute
from peernode.market.credit.settling import Settling
from peernode.mesh import Mesh
from peernode.node.credit_config import CreditConfig
from peernode.node.credit_view import CreditView
from peernode.wire.credit_frames import PROTOCOL
from peernode.wire.identity import Identity


class NodeCredit:
    """Reads the ledger when it is made. ``run`` brings settlement notes to their debtors until cancelled."""

    def __init__(
        self,
        config: CreditConfig,
        *,
        identity: Identity,
        network: str,
        database: Database,
        mesh: Mesh,
        clock_ms: Callable[[], int],
    ) -> None:
        rows = Lines(database)
        self.lines = CreditLines(own=identity.peer_id, terms=config.terms(), ledger=rows, clock_ms=clock_ms)
        self.repute = Repute(ledger=rows, clock_ms=clock_ms)
        self._settling = Settling(
            identity=identity,
            network=network,
            mesh=mesh,
            notes=Settlements(database),
            lines=self.lines,
            repute=self.repute,
            clock_ms=clock_ms,
        )
        mesh.handle(PROTOCOL, self._settling.handle)
        self.view = CreditView(
            own=identity.peer_id,
            lines=self.lines,
            repute=self.repute,
            settling=self._settling,
            rows=rows,
            books=Books(database),
            supply=Supply(database),
            known=lambda: {*mesh.directory.snapshot().adverts, *mesh.joined, *(each.peer_id for each in mesh.peers())},
        )

    async def run(self) -> None:
        await self._settling.run()
