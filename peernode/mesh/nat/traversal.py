"""Everything that makes a node reachable, put together for one host: verdict, relays, circuits, holes, ports.

Owns which part does its work when: a public node relays, a private one reserves, asks its router and punches holes.
Leaves each to its own module.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

import structlog
import trio
from libp2p.abc import INetConn, INetwork
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID

from peernode.mesh.addresses import dialable, is_loopback
from peernode.mesh.dialing import dial
from peernode.mesh.directory import Directory
from peernode.mesh.errors import DialFailed
from peernode.mesh.nat.circuit_address import is_circuit
from peernode.mesh.nat.circuit_stream import is_relayed
from peernode.mesh.nat.connection_news import ConnectionNews
from peernode.mesh.nat.direct_paths import DirectPaths
from peernode.mesh.nat.errors import RelayRefused
from peernode.mesh.nat.hole_punch import HolePuncher
from peernode.mesh.nat.port_mapping import PortMapping, Router
from peernode.mesh.nat.reach import ReachProtocol
from peernode.mesh.nat.reach_rounds import ReachRounds
from peernode.mesh.nat.reachability import Reach, Verdict, remedy
from peernode.mesh.nat.relay_client import RelayClient
from peernode.mesh.nat.relay_limits import RelayLimits
from peernode.mesh.nat.relay_service import RelayService
from peernode.mesh.nat.reservations import RelayPath, Reservations
from peernode.mesh.nat.status import OFF, NatStatus
from peernode.mesh.nat.upnp import UpnpRouter
from peernode.mesh.settings import MeshSettings

log = structlog.get_logger(__name__)

DIRECT_DIAL_S = 3.0
# Of the peers that this node is not connected to, so many are asked to relay at a time.
MAX_HEARD = 3


def is_active(settings: MeshSettings, listening: Iterable[str]) -> bool:
    """False when the operator switched it off, or the node can only be meant for its own machine."""
    if settings.nat == "auto":
        return any(not is_loopback(address) for address in listening)
    return settings.nat == "on"


class Traversal:
    """``direct`` gives this node's own addresses with its id; ``nursery`` lives as long as the host does.

    ``moved`` is called when ``addresses`` gives others than before.
    """

    def __init__(
        self,
        host: BasicHost,
        *,
        peer_id: str,
        settings: MeshSettings,
        directory: Directory,
        direct: Callable[[], Sequence[str]],
        nursery: trio.Nursery,
        rng: random.Random,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._host = host
        self._peer_id = peer_id
        self._settings = settings
        self._directory = directory
        self._direct = direct
        self._nursery = nursery
        self._moved = moved
        self._rng = rng
        self.active = is_active(settings, direct())
        self._relay = RelayService(host, RelayLimits())
        self._reservations = Reservations(
            candidates=self._relay_paths, reserve=self._reserve, changed=self._addresses_changed, rng=rng
        )
        self._client = RelayClient(host, dial=self._dial, reserved=self._reservations, answer=self.active)
        if not self.active:
            return
        self._rounds = ReachRounds(
            ReachProtocol(host, nursery),
            helpers=self._direct_peers,
            direct=direct,
            decided=self._decided,
            rng=rng,
        )
        self._mapping: PortMapping | None = None
        self._router: Router = UpnpRouter(rng)
        puncher = HolePuncher(host, outside=self._outside, dialable=self._safe)
        self._paths = DirectPaths(puncher, dial_known=self._dial_known, rng=rng)

    async def run(self) -> None:
        """Work until cancelled. When it is off: serve as a relay if told to, and nothing else."""
        self._relay.switch(self._settings.relay == "on")
        if not self.active:
            return
        news = ConnectionNews(self._connected, self._gone)
        self._host.get_network().register_notifee(news)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._rounds.run)
            nursery.start_soon(self._reservations.run)

    async def call(self, peer: str, address: str) -> None:
        """Connect to a peer at a circuit address. Raises ``DialFailed``."""
        await self._client.call(peer, address)

    def addresses(self) -> list[str]:
        """What others can dial besides the addresses of this machine, with this node's id."""
        if not self.active:
            return []
        found = self._reservations.addresses()
        verdict = self._rounds.verdict
        if verdict.reach is Reach.PUBLIC and verdict.nat:
            found.insert(0, _address(verdict.host, verdict.port))
        return [f"{address}/p2p/{self._peer_id}" for address in found]

    def status(self) -> NatStatus:
        """For the operator."""
        if not self.active:
            return NatStatus(relaying=self._relay.on, circuits=self._relay.book.circuits) if self._relay.on else OFF
        verdict = self._rounds.verdict
        return NatStatus(
            reach=verdict.reach.value,
            reason=verdict.reason,
            address=_address(verdict.host, verdict.port) if verdict.host else "",
            remedy=remedy(verdict, self._reservations.relays),
            relays=tuple(self._reservations.relays),
            relaying=self._relay.on,
            circuits=self._relay.book.circuits,
            router=self._mapping.said if self._mapping is not None else "",
        )

    def _decided(self, verdict: Verdict) -> None:
        private = verdict.reach is Reach.PRIVATE
        self._reservations.want(private)
        if self._settings.relay == "auto":
            self._relay.switch(verdict.reach is Reach.PUBLIC)
        if self._settings.upnp and private and verdict.nat and self._mapping is None:
            self._mapping = PortMapping(self._router, opened=self._rounds.ask_at)
            self._nursery.start_soon(self._mapping.keep, self._rounds.port)
        self._addresses_changed()

    def _addresses_changed(self) -> None:
        self._tell()
        self._moved()

    def _tell(self) -> None:
        status = self.status()
        log.info(
            "reachability",
            reach=status.reach,
            reason=status.reason,
            address=status.address,
            relays=list(status.relays),
            remedy=status.remedy,
        )

    async def _reserve(self, path: RelayPath) -> None:
        """Raises ``RelayRefused``."""
        if not path.connected:
            try:
                await dial(self._host, path.peer, path.address)
            except DialFailed as error:
                raise RelayRefused("The relay could not be reached.", cause=error.cause) from error
        await self._client.reserve(path.peer)

    async def _dial(self, peer: str, address: str) -> None:
        await dial(self._host, peer, address)

    def _direct_connections(self) -> Iterable[tuple[str, INetConn]]:
        for peer, connections in self._host.get_network().connections.items():
            for connection in connections:
                if not connection.is_closed and not is_relayed(connection):
                    yield str(peer), connection
                    break

    def _direct_peers(self) -> list[str]:
        return [peer for peer, _ in self._direct_connections()]

    def _relay_paths(self) -> list[RelayPath]:
        """Connected peers that others can reach as well, in any order; then some that this node only heard of."""
        connected = list(self._connected_paths())
        self._rng.shuffle(connected)
        passed_over = {peer for peer, _ in self._direct_connections()} | {self._peer_id}
        heard = [
            RelayPath(peer, addresses[0], connected=False)
            for peer, signed in self._directory.snapshot().adverts.items()
            if peer not in passed_over
            and not any(is_circuit(address) for address in signed.advert.addresses)
            and (addresses := self._safe(signed.advert.addresses))
        ]
        self._rng.shuffle(heard)
        return connected + heard[:MAX_HEARD]

    def _connected_paths(self) -> Iterable[RelayPath]:
        """Not those that are called through relays themselves."""
        adverts = self._directory.snapshot().adverts
        for peer, connection in self._direct_connections():
            signed = adverts.get(peer)
            told = signed.advert.addresses if signed else ()
            if any(is_circuit(address) for address in told):
                continue
            remote = connection.muxed_conn.get_remote_address()
            if str(connection.direction) == "outbound" and remote is not None:
                yield RelayPath(peer, _address(*remote))
            elif addresses := self._safe(told):
                yield RelayPath(peer, addresses[0])

    def _outside(self) -> list[str]:
        """Where a peer may find this node: as others see it, and where it listens."""
        own = [address.partition("/p2p/")[0] for address in self._direct() if not is_loopback(address)]
        verdict = self._rounds.verdict
        seen = [_address(verdict.host, verdict.port)] if verdict.host else []
        return list(dict.fromkeys([*seen, *own]))

    def _safe(self, told: Sequence[str]) -> list[str]:
        return dialable([address for address in told if not is_circuit(address)], self._direct())

    async def _dial_known(self, peer: str) -> None:
        """Raises ``DialFailed``."""
        signed = self._directory.snapshot().adverts.get(peer)
        addresses = self._safe(signed.advert.addresses) if signed else []
        failure = DialFailed("The peer names no address of its own.")
        for address in addresses[:2]:
            try:
                await dial(self._host, peer, address, deadline_s=DIRECT_DIAL_S)
                return
            except DialFailed as error:
                failure = error
        raise failure

    def _connected(self, network: INetwork, connection: INetConn) -> None:
        del network
        self._reservations.look()
        self._rounds.look()
        self._nursery.start_soon(self._tend, connection)

    def _gone(self, peer: ID) -> None:
        del peer
        self._reservations.look()

    async def _tend(self, connection: INetConn) -> None:
        # A circuit is marked as one right after the library has told of it.
        await trio.sleep(0.05)
        if is_relayed(connection) and not connection.is_closed:
            await self._paths.improve(connection)


def _address(host: str, port: int) -> str:
    return f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}"
