"""Keeps this node connected: to the peers it was told to join, and to some of those it learned of.

Owns whom to dial, in which order and when again. Leaves one dial to ``dialing``, pauses to ``backoff``, and what is
said over a connection to ``gossip``, ``sync`` and the protocols of other rooms.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import structlog
import trio
from libp2p.host.basic_host import BasicHost

from peernode.mesh.addresses import dialable
from peernode.mesh.backoff import Backoff
from peernode.mesh.dialing import DIAL_DEADLINE_S, ConnectionWatch, PeerStatus, dial
from peernode.mesh.directory import Directory
from peernode.mesh.errors import DialFailed
from peernode.mesh.traffic import Traffic

log = structlog.get_logger(__name__)

__all__ = ["Connections", "PeerStatus"]

# Enough for every node to stay reachable within few hops; a job dials whom it needs. Others may dial us on top.
MAX_LEARNED = 8
MAX_DIALS = 8
# Two peers that learn of each other would dial each other at once; the one with the larger id waits a moment.
YIELD_S = 2.0
# A peer we once reached is tried for this long after its lease ended: a cut network must be able to heal.
REMEMBER_S = 600.0


class Connections:
    """The connections of one host while it lives.

    ``join`` maps peer ids to the addresses the operator gave; ``own_addresses`` tells where this node listens.
    """

    def __init__(
        self,
        host: BasicHost,
        *,
        peer_id: str,
        join: dict[str, list[str]],
        directory: Directory,
        own_addresses: Callable[[], Sequence[str]],
        rng: random.Random,
        traffic: Traffic | None = None,
    ) -> None:
        self._traffic = traffic or Traffic()
        self.watch = ConnectionWatch(host)
        self._host = host
        self._peer_id = peer_id
        self._join = join
        self._directory = directory
        self._own_addresses = own_addresses
        self._rng = rng
        self._backoff = Backoff(rng)
        self._learned: dict[str, tuple[str, ...]] = {}
        self._dialling: dict[str, trio.Lock] = {}
        self._dials = trio.CapacityLimiter(MAX_DIALS)

    async def run(self) -> None:
        """Dial and redial until cancelled; never raises because of a peer."""
        async with trio.open_nursery() as nursery:
            for peer_id in self._join:
                if peer_id != self._peer_id:
                    nursery.start_soon(self._keep, peer_id, lambda: True)
            nursery.start_soon(self._follow_directory, nursery)

    async def reach(self, peer_id: str) -> None:
        """Return once connected to the peer, dialling the addresses we know. Raises ``DialFailed``.

        A caller is waiting, so earlier failures of an address are no reason not to try it now.
        """
        if self.watch.live(peer_id):
            return
        last: DialFailed | None = None
        for address in self._addresses(peer_id):
            try:
                await self._dial(peer_id, address)
            except DialFailed as error:
                last = error
            if self.watch.live(peer_id):
                return
        cause = "the connection was lost at once" if self._addresses(peer_id) else "no address of it is known"
        raise last or DialFailed(f"Peer {peer_id} could not be reached.", cause=cause)

    def _addresses(self, peer_id: str) -> list[str]:
        addresses = list(self._join.get(peer_id, ()))
        signed = self._directory.snapshot().adverts.get(peer_id)
        told = signed.advert.addresses if signed is not None else self._learned.get(peer_id, ())
        learned = dialable(told, self._own_addresses())
        return addresses + [address for address in learned if address not in addresses]

    async def _dial(self, peer_id: str, address: str) -> None:
        lock = self._dialling.setdefault(peer_id, trio.Lock())
        try:
            async with lock, self._dials:
                if self.watch.live(peer_id):
                    return
                try:
                    await dial(self._host, peer_id, address, deadline_s=DIAL_DEADLINE_S)
                except DialFailed as error:
                    self._traffic.dial_failures += 1
                    self._backoff.failed(address, trio.current_time())
                    log.debug("dial_failed", peer=peer_id, address=address, cause=error.cause)
                    raise
                self._backoff.succeeded(address)
        finally:
            if not lock.locked() and not lock.statistics().tasks_waiting:
                self._dialling.pop(peer_id, None)

    async def _keep(self, peer_id: str, wanted: Callable[[], bool]) -> None:
        while wanted():
            if self.watch.live(peer_id):
                await self.watch.wait_change()
                continue
            await self._try_once(peer_id)
            if not self.watch.live(peer_id):
                await self._pause(peer_id)

    async def _try_once(self, peer_id: str) -> None:
        for address in self._addresses(peer_id):
            if self.watch.live(peer_id):
                return
            if self._backoff.ready_at(address) <= trio.current_time():
                try:
                    await self._dial(peer_id, address)
                except DialFailed:
                    continue  # logged where it was raised; the next address may do

    async def _pause(self, peer_id: str) -> None:
        """Wait until some address is due again, the peer connected by itself, or at most a second has gone."""
        due = min((self._backoff.ready_at(address) for address in self._addresses(peer_id)), default=float("inf"))
        with trio.CancelScope() as scope:
            scope.deadline = max(min(due, trio.current_time() + 1.0), trio.current_time() + 0.05)
            await self.watch.wait_until(lambda: self.watch.live(peer_id))

    async def _follow_directory(self, nursery: trio.Nursery) -> None:
        version = -1
        while True:
            snapshot = await self._directory.wait_change(version)
            version = snapshot.version
            for peer_id in self._learned:
                if peer_id in snapshot.adverts:
                    self._learned[peer_id] = snapshot.adverts[peer_id].advert.addresses
            passed_over = self._learned.keys() | self._join.keys() | {self._peer_id}
            strangers = [peer_id for peer_id in snapshot.adverts if peer_id not in passed_over]
            self._rng.shuffle(strangers)
            room = MAX_LEARNED - max(len(self._learned), len(self.watch.peers()))
            for peer_id in strangers[: max(room, 0)]:
                self._learned[peer_id] = snapshot.adverts[peer_id].advert.addresses
                nursery.start_soon(self._keep_learned, peer_id)

    async def _keep_learned(self, peer_id: str) -> None:
        reached_s = float("-inf")

        def wanted() -> bool:
            nonlocal reached_s
            if self.watch.live(peer_id):
                reached_s = trio.current_time()
                return True
            if peer_id in self._directory.snapshot().adverts:
                return True
            return trio.current_time() - reached_s < REMEMBER_S and not self._directory.departed(peer_id)

        try:
            if self._peer_id > peer_id:
                with trio.move_on_after(YIELD_S):
                    await self.watch.wait_until(lambda: self.watch.live(peer_id))
            await self._keep(peer_id, wanted)
        finally:
            del self._learned[peer_id]
