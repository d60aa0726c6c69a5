"""This node's own adverts: a lease renewed every few seconds, at once on news, and ended when the node leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

from peernode import __version__
from peernode.market.models import OwnModels
from peernode.mesh import Mesh
from peernode.wire.advert import MAX_ADDRESSES, Advert, sign_advert
from peernode.wire.identity import Identity

log = structlog.get_logger(__name__)

LEASE_MS = 15_000
RENEW_S = 5.0
# Load changes with every job; telling it at most this often keeps gossip cheap.
NEWS_PAUSE_S = 0.25


class Advertiser:
    """Publishes what the node offers. ``changed`` is awaited for news; ``leave`` says goodbye."""

    def __init__(
        self,
        *,
        identity: Identity,
        network: str,
        mesh: Mesh,
        models: OwnModels,
        changed: Callable[[], Awaitable[None]],
        clock_ms: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._network = network
        self._mesh = mesh
        self._models = models
        self._changed = changed
        self._clock_ms = clock_ms
        self._seq = 0
        self._left = False

    async def run(self) -> None:
        """Advertise until cancelled or until ``leave``."""
        while not self._left:
            await self._publish(LEASE_MS)
            await trio.sleep(NEWS_PAUSE_S)
            with trio.move_on_after(RENEW_S - NEWS_PAUSE_S):
                await self._changed()

    async def leave(self) -> None:
        """End this node's lease everywhere, now."""
        self._left = True
        await self._publish(0)

    async def _publish(self, lease_ms: int) -> None:
        # Sequence numbers grow over restarts because they are never behind the clock.
        now_ms = self._clock_ms()
        self._seq = max(self._seq + 1, now_ms)
        loads = self._models.loads()
        advert = Advert(
            network=self._network,
            peer=self._identity.peer_id,
            seq=self._seq,
            issued_ms=now_ms,
            lease_ms=lease_ms,
            addresses=tuple(self._mesh.addresses()[:MAX_ADDRESSES]),
            version=__version__,
            slots=sum(load.slots for load in loads),
            free_slots=sum(load.free_slots for load in loads),
            queued=sum(load.queued for load in loads),
            models=self._models.cards() if lease_ms else (),
        )
        await self._mesh.publish(sign_advert(advert, self._identity))
