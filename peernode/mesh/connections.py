"""Keeps this node connected: to the peers it was told to join, to some it knows from before, and to some it learned of.

Owns to whom a connection is kept, and for how long. Leaves reaching a peer to ``dialler``, the choice of further peers
to ``recruiting``, and what is said over a connection to ``gossip``, ``sync`` and the protocols of other rooms.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence

import structlog
import trio
from libp2p.host.basic_host import BasicHost

from peernode.mesh.dialing import ConnectionWatch, PeerStatus
from peernode.mesh.dialler import Dialler
from peernode.mesh.directory import Directory
from peernode.mesh.found_peers import FoundPeers
from peernode.mesh.known_peers import KnownPeers
from peernode.mesh.recruiting import GAVE_UP_S, Gone, Kept, Picture, recruits
from peernode.mesh.traffic import Traffic

log = structlog.get_logger(__name__)

__all__ = ["Connections", "PeerStatus"]

# Known peers that are dialled at start, besides those to join.
START_KNOWN = 8
# Two peers that learn of each other would dial each other at once; the one with the larger id waits a moment.
YIELD_S = 2.0
# A peer we once reached is tried for this long after its lease ended: a cut network must be able to heal.
REMEMBER_S = 600.0
# Whoever hangs up sooner than this was not reached in any useful sense.
STABLE_S = 5.0
# Changes come in swarms; a choice of peers can wait for the rest of one.
SETTLE_S = 0.2
RECONSIDER_S = 30.0
SEEN_EVERY_S = 60.0


class Connections:
    """The connections of one host while it lives.

    ``join`` maps peer ids to the addresses the operator gave; ``own_addresses`` tells where this node listens;
    ``known`` remembers who was reached; ``allow`` are the only peers to talk to, if there are any. Discovery tells
    ``found`` what it found.
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
        known: KnownPeers,
        allow: frozenset[str] = frozenset(),
        traffic: Traffic | None = None,
    ) -> None:
        self.watch = ConnectionWatch(host)
        self.found = FoundPeers()
        self._dialler = Dialler(
            host,
            self.watch,
            join=join,
            known=known,
            found=self.found,
            directory=directory,
            own_addresses=own_addresses,
            rng=rng,
            traffic=traffic or Traffic(),
        )
        self._peer_id = peer_id
        self._join = join
        self._directory = directory
        self._rng = rng
        self._known = known
        self._allow = allow
        self._kept: dict[str, Kept] = {}
        self._gone = Gone()

    def call_circuits_with(self, call: Callable[[str, str], Awaitable[None]]) -> None:
        """Let ``call`` connect to (peer id, circuit address); without it such addresses cannot be dialled."""
        self._dialler.call_circuit = call

    async def run(self) -> None:
        """Dial and redial until cancelled; never raises because of a peer."""
        async with trio.open_nursery() as nursery:
            for peer_id in self._join:
                if peer_id != self._peer_id:
                    self._kept[peer_id] = Kept(joined=True)
                    nursery.start_soon(self._keep, peer_id, self._kept[peer_id])
            for peer_id in self._permitted(self._known.choose(START_KNOWN)):
                self._take_up(peer_id, nursery)
            nursery.start_soon(self._recruit, nursery)
            nursery.start_soon(self._known.keep_saved)
            nursery.start_soon(self._note_seen)

    async def reach(self, peer_id: str, told: Sequence[str] = ()) -> None:
        """Return once connected to the peer, dialling the addresses we know and those told. Raises ``DialFailed``."""
        await self._dialler.reach(peer_id, told)

    async def _keep(self, peer_id: str, kept: Kept) -> None:
        while kept.joined or self._still_wanted(peer_id, kept):
            if self.watch.live(peer_id):
                await self._while_live(peer_id, kept)
            else:
                if await self._dialler.try_due(peer_id):
                    kept.failed_rounds += 1
                if not self.watch.live(peer_id):
                    await self._pause(peer_id)

    async def _while_live(self, peer_id: str, kept: Kept) -> None:
        since = trio.current_time()
        await self.watch.wait_until(lambda: not self.watch.live(peer_id))
        kept.reached_s = trio.current_time()
        if kept.reached_s - since < STABLE_S:
            self._dialler.hung_up(peer_id)
        else:
            self._dialler.stayed(peer_id)
            kept.failed_rounds = 0

    async def _pause(self, peer_id: str) -> None:
        """Wait until some address is due again, the peer connected by itself, or at most a second has gone."""
        now = trio.current_time()
        with trio.CancelScope() as scope:
            scope.deadline = max(min(self._dialler.due_at(peer_id), now + 1.0), now + 0.05)
            await self.watch.wait_until(lambda: self.watch.live(peer_id))

    def _still_wanted(self, peer_id: str, kept: Kept) -> bool:
        if self.watch.live(peer_id):
            return True
        if trio.current_time() - kept.reached_s < REMEMBER_S and not self._directory.departed(peer_id):
            return True
        is_told = peer_id in self._directory.snapshot().adverts or bool(self.found.addresses(peer_id))
        return is_told and not kept.is_hopeless

    def _permitted(self, peer_ids: list[str]) -> list[str]:
        return [peer_id for peer_id in peer_ids if peer_id in self._allow] if self._allow else peer_ids

    def _take_up(self, peer_id: str, nursery: trio.Nursery) -> None:
        if peer_id == self._peer_id or peer_id in self._kept:
            return
        # Somebody who was reached before a restart is as good as somebody who was reached before a cut.
        reached_s = trio.current_time() if self._known.addresses(peer_id) else float("-inf")
        kept = self._kept[peer_id] = Kept(reached_s=reached_s)
        nursery.start_soon(self._keep_while_wanted, peer_id, kept)

    async def _keep_while_wanted(self, peer_id: str, kept: Kept) -> None:
        try:
            if self._peer_id > peer_id:
                with trio.move_on_after(YIELD_S):
                    await self.watch.wait_until(lambda: self.watch.live(peer_id))
            await self._keep(peer_id, kept)
        finally:
            del self._kept[peer_id]
            if kept.is_hopeless:
                self._gone.note(peer_id, trio.current_time() + GAVE_UP_S)

    async def _recruit(self, nursery: trio.Nursery) -> None:
        while True:
            snapshot = self._directory.snapshot()
            picture = Picture(
                kept=self._kept,
                connected=frozenset(self.watch.peers()),
                outbound=frozenset(self.watch.outbound()),
                known=self._permitted(self._known.latest()),
                strangers=self._permitted([*snapshot.adverts, *self.found.peers()]),
                passed_over=self._gone.at(trio.current_time()) | {self._peer_id},
            )
            for peer_id in recruits(picture, self._rng):
                self._take_up(peer_id, nursery)
            with trio.move_on_after(RECONSIDER_S):
                await self._any_change(snapshot.version)
            await trio.sleep(SETTLE_S)

    async def _any_change(self, version: int) -> None:
        async with trio.open_nursery() as nursery:

            async def directory() -> None:
                await self._directory.wait_change(version)
                nursery.cancel_scope.cancel()

            async def connections() -> None:
                await self.watch.wait_change()
                nursery.cancel_scope.cancel()

            async def discovery() -> None:
                await self.found.wait_change()
                nursery.cancel_scope.cancel()

            for wait in (directory, connections, discovery):
                nursery.start_soon(wait)

    async def _note_seen(self) -> None:
        while True:
            await trio.sleep(SEEN_EVERY_S)
            for peer_id in self.watch.outbound():
                self._known.seen(peer_id)
