"""One attempt to reach one peer, and the watch over who is connected.

Owns the dial recipe for libp2p 0.8.1 (exactly one address, none of its own memory of failures, a deadline of ours) and
the list of live connections. Leaves whom to dial and when to try again to ``connections``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio
from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from peernode.mesh.errors import DialFailed
from peernode.mesh.nat.circuit_stream import is_relayed, relay_behind

log = structlog.get_logger(__name__)

DIAL_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A connected peer. ``rtt_ms`` is None until the first ping came back; ``direction`` is inbound or outbound.

    ``path`` is "direct", or "relayed via" and the relay's peer id; ``address`` is the relay's then.
    """

    peer_id: str
    address: str
    direction: str
    rtt_ms: float | None
    connected_s: float
    path: str = "direct"


class ConnectionWatch(INotifee):
    """Follows the connections of one host, and wakes whoever waits for a change."""

    def __init__(self, host: BasicHost) -> None:
        self._network = host.get_network()
        self._since: dict[int, float] = {}
        self._changed = trio.Event()
        self._network.register_notifee(self)

    def live(self, peer_id: str) -> bool:
        """True while at least one connection to the peer is open."""
        return any(not conn.is_closed for conn in self._network.connections.get(ID.from_string(peer_id), ()))

    def peers(self) -> set[str]:
        """The ids of all connected peers."""
        return {str(peer) for peer, conns in self._network.connections.items() if any(not c.is_closed for c in conns)}

    def outbound(self) -> set[str]:
        """The ids of the peers that this node dialled and is connected to."""
        return {
            str(peer)
            for peer, conns in self._network.connections.items()
            if any(not c.is_closed and str(c.direction) == "outbound" for c in conns)
        }

    def statuses(self) -> list[PeerStatus]:
        """One status per connected peer, of its oldest connection; a direct one comes before relayed ones."""
        return [
            self._status(str(peer), min((conn for conn in conns if not conn.is_closed), key=is_relayed))
            for peer, conns in self._network.connections.items()
            if any(not conn.is_closed for conn in conns)
        ]

    def round_trip_s(self, peer_id: str) -> float | None:
        """Of the peer's quickest connection; None while no ping came back."""
        connections = self._network.connections.get(ID.from_string(peer_id), ())
        return min(
            (rtt for conn in connections if not conn.is_closed and (rtt := conn.muxed_conn.rtt()) > 0), default=None
        )

    async def wait_change(self) -> None:
        """Return at the next connection or loss."""
        await self._changed.wait()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return once ``condition`` holds; it is looked at whenever a connection came or went."""
        while not condition():
            await self._changed.wait()

    def _status(self, peer_id: str, conn: INetConn) -> PeerStatus:
        muxed = conn.muxed_conn
        rtt_s = muxed.rtt()
        address = muxed.get_remote_address()
        ip, port = address or ("", 0)
        return PeerStatus(
            peer_id=peer_id,
            address=f"/{'ip6' if ':' in ip else 'ip4'}/{ip}/tcp/{port}" if address else "",
            direction=str(conn.direction),
            rtt_ms=rtt_s * 1000 if rtt_s > 0 else None,
            path=f"relayed via {relay_behind(conn)}" if is_relayed(conn) else "direct",
            connected_s=trio.current_time() - self._since.get(id(conn), trio.current_time()),
        )

    def _note(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """Called by the library."""
        self._since[id(conn)] = trio.current_time()
        log.info("peer_connected", peer=str(conn.muxed_conn.peer_id), direction=str(conn.direction))
        self._note()

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """Called by the library."""
        self._since.pop(id(conn), None)
        log.info("peer_disconnected", peer=str(conn.muxed_conn.peer_id))
        self._note()

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        """Called by the library; of no interest here."""

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        """Called by the library; of no interest here."""

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Called by the library; of no interest here."""

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Called by the library; of no interest here."""


async def dial(host: BasicHost, peer_id: str, address: str, *, deadline_s: float = DIAL_DEADLINE_S) -> None:
    """Connect to ``peer_id`` at exactly this ``address`` (a multiaddr without the peer id).

    Raises ``DialFailed`` when there is no connection after ``deadline_s`` seconds, or another peer answered.
    """
    peer, target = ID.from_string(peer_id), Multiaddr(address)
    network = host.get_network()
    try:
        with trio.fail_after(deadline_s):
            if not await network.connection_gate.is_allowed(target):
                raise DialFailed(f"Peer {peer_id} may not be dialled.", cause=f"{address} is blocked here")
            # Not host.connect(): of several addresses it tries one, and after a failure none for 60 s.
            await network.dial_addr(target, peer)
    except DialFailed:
        raise
    except trio.TooSlowError:
        raise DialFailed(f"Peer {peer_id} did not answer.", cause=f"{address}: nothing for {deadline_s:g} s") from None
    except Exception as error:
        cause = error.__cause__ or error
        raise DialFailed(f"Peer {peer_id} could not be reached.", cause=f"{address}: {cause}") from error
