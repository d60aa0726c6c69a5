"""The relays at which this node can be called: two of them, kept, renewed and replaced.

Owns the choice of relays and the circuit addresses that follow from it. Leaves the requests to ``relay_client``.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog
import trio

from peernode.mesh.nat.circuit_address import circuit_address
from peernode.mesh.nat.errors import RelayRefused

log = structlog.get_logger(__name__)

WANTED = 2
# Relays keep a reservation for ten minutes (peernode) or an hour (others).
RENEW_S = 180.0
REFUSED_PAUSE_S = 60.0
LOOK_S = 10.0


@dataclass(frozen=True, slots=True)
class RelayPath:
    """A peer that may relay, and an address at which others can reach it, without its peer id."""

    peer: str
    address: str
    connected: bool = True


class Reservations:
    """``candidates`` gives the peers that may relay, best first; ``reserve`` asks one, or raises ``RelayRefused``.

    A relay whose connection was lost has forgotten this node.
    """

    def __init__(
        self,
        *,
        candidates: Callable[[], Iterable[RelayPath]],
        reserve: Callable[[RelayPath], Awaitable[None]],
        changed: Callable[[], None],
        rng: random.Random,
    ) -> None:
        self._candidates = candidates
        self._reserve = reserve
        self._changed = changed
        self._rng = rng
        self._held: dict[str, tuple[str, float]] = {}
        self._refused: dict[str, float] = {}
        self._wanted = False
        self._wake = trio.Event()

    def __contains__(self, peer: object) -> bool:
        return peer in self._held

    @property
    def relays(self) -> list[str]:
        """The relays' peer ids."""
        return list(self._held)

    def addresses(self) -> list[str]:
        """This node's circuit addresses, without its own id."""
        return [circuit_address(address, relay) for relay, (address, _) in self._held.items()]

    def want(self, wanted: bool) -> None:
        """Say whether this node needs relays; without the need all are let go."""
        if wanted != self._wanted:
            self._wanted = wanted
            self.look()

    def look(self) -> None:
        """Look again at once: a peer came or went."""
        self._wake.set()

    async def run(self) -> None:
        """Keep the reservations until cancelled."""
        while True:
            self._wake = trio.Event()
            await self._keep()
            with trio.move_on_after(LOOK_S * self._rng.uniform(0.8, 1.2)):
                await self._wake.wait()

    async def _keep(self) -> None:
        before = self.addresses()
        paths = {path.peer: path for path in self._candidates()}
        connected = {path.peer for path in paths.values() if path.connected}
        for relay in [relay for relay in self._held if relay not in connected or not self._wanted]:
            del self._held[relay]
            log.info("relay_lost", relay=relay)
        now = trio.current_time()
        self._refused = {peer: until for peer, until in self._refused.items() if until > now}
        if self._wanted:
            for relay in [relay for relay, (_, due) in self._held.items() if due <= now]:
                await self._try(paths[relay])
            for relay, path in paths.items():
                if len(self._held) >= WANTED:
                    break
                if relay not in self._held and relay not in self._refused:
                    await self._try(path)
        if self.addresses() != before:
            self._changed()

    async def _try(self, path: RelayPath) -> None:
        relay = path.peer
        try:
            await self._reserve(path)
        except RelayRefused as error:
            log.debug("relay_refused", relay=relay, cause=error.cause)
            self._refused[relay] = trio.current_time() + REFUSED_PAUSE_S * self._rng.uniform(0.8, 1.2)
            if self._held.pop(relay, None):
                log.info("relay_lost", relay=relay)
            return
        if relay not in self._held:
            log.info("relay_reserved", relay=relay)
        self._held[relay] = (path.address, trio.current_time() + RENEW_S * self._rng.uniform(0.8, 1.2))
