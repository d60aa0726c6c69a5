"""What others say of their logs, followed advert by advert; who contradicts himself is caught, told of, and avoided."""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio

from peernode.ledger import LedgerError
from peernode.ledger.log_heads import LogHeads
from peernode.mesh import Directory
from peernode.wire.log_head import LogHead, head_of_advert
from peernode.wire.proof import EquivocationProof

log = structlog.get_logger(__name__)

LOOK_S = 5.0


class LogWatch:
    """Reads the adverts of ``directory``. ``shun(peer, reason)`` is called once a life for each peer that is caught."""

    def __init__(
        self,
        *,
        directory: Directory,
        heads: LogHeads,
        own: str,
        clock_ms: Callable[[], int],
        shun: Callable[[str, str], None],
    ) -> None:
        self._directory = directory
        self._heads = heads
        self._own = own
        self._clock_ms = clock_ms
        self._shun = shun
        self._newest: dict[str, tuple[int, bytes]] = {}
        self._caught: dict[str, EquivocationProof] = {}

    def caught(self) -> dict[str, EquivocationProof]:
        """The proofs against peers that keep more than one log."""
        return dict(self._caught)

    async def run(self) -> None:
        """Watch until cancelled."""
        self._newest = await trio.to_thread.run_sync(self._heads.newest)
        for proof in await trio.to_thread.run_sync(self._heads.proofs):
            self._catch(proof)
        seen = -1
        while True:
            since, seen = seen, self._directory.version
            fresh = [head for peer in self._directory.changed_since(since) if (head := self._fresh(peer))]
            if fresh:
                await self._take(fresh)
            # An advert that is new only in what it says of the log is no news, and wakes nobody.
            with trio.move_on_after(LOOK_S):
                await self._directory.wait_change(seen)

    async def _take(self, heads: list[LogHead]) -> None:
        now_ms = self._clock_ms()
        try:
            found = await trio.to_thread.run_sync(lambda: self._heads.see(heads, now_ms=now_ms))
        except LedgerError as err:  # they are heard again with their next adverts
            log.error("heads_not_kept", code=err.code, reason=str(err))
            return
        self._newest.update({head.peer: (head.size, head.root) for head in heads})
        for proof in found:
            log.error("peer_keeps_two_logs", peer=proof.peer, reason=proof.reason)
            self._catch(proof)

    def _fresh(self, peer: str) -> LogHead | None:
        """What is new in the advert of a peer; its departure counts, too."""
        holding = self._directory.holding(peer)
        if holding is None or peer == self._own:
            return None
        head = head_of_advert(holding.standing.signed)
        return head if head and self._newest.get(peer) != (head.size, head.root) else None

    def _catch(self, proof: EquivocationProof) -> None:
        self._caught[proof.peer] = proof
        self._shun(proof.peer, proof.reason)
