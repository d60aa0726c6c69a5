"""DCUtR: two peers that talk through a relay dial each other at the same moment, so that both NATs let the other in.

Spec: libp2p/specs relay/DCUtR.md. Who was called over the circuit leads; both dial from their listen port to where the
other's NAT shows it. On a connection made by both at once the called side is the Noise responder. Owns the exchange;
leaves when to try, and what becomes of the relayed connection, to ``direct_paths``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.dcutr_pb2 import HolePunch
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from peernode.mesh.errors import MeshError
from peernode.mesh.hardening.punched_connections import expecting
from peernode.mesh.nat.circuit_messages import DCUTR, give_up, read_message, write_message
from peernode.mesh.nat.circuit_stream import is_relayed
from peernode.mesh.nat.errors import PunchFailed

log = structlog.get_logger(__name__)

MAX_ADDRESSES = 4
# The first SYN is often lost on a NAT that does not expect it yet; the system repeats it after 1, 3 and 7 s.
DIAL_S = 6.0
EXCHANGE_S = 10.0
OPEN_S = 5.0
# The spec waits half a round trip; a relay that stalls must not make it more than this.
MAX_WAIT_S = 2.0
# A peer that leads makes this node dial what it names: seldom enough to be of no use against others.
FOLLOW_GAP_S = 1.0
FOLLOWS = 10
FOLLOWS_S = 300.0


class HolePuncher:
    """``outside`` gives the addresses at which this node's NAT shows it; ``dialable`` keeps what is safe to dial."""

    def __init__(
        self,
        host: BasicHost,
        *,
        outside: Callable[[], Sequence[str]],
        dialable: Callable[[Sequence[str]], Sequence[str]],
    ) -> None:
        self._host = host
        self._outside = outside
        self._dialable = dialable
        self._busy: set[str] = set()
        self._follows: dict[str, list[float]] = {}
        host.set_stream_handler(TProtocol(DCUTR), self._follow)

    async def lead(self, peer: str) -> None:
        """Punch a hole to a peer that called through a relay. Raises ``PunchFailed``."""
        if peer in self._busy:
            raise PunchFailed("A hole punch to this peer is under way.")
        self._busy.add(peer)
        try:
            await self._lead(peer)
        finally:
            self._busy.discard(peer)

    async def _lead(self, peer: str) -> None:
        stream: INetStream | None = None
        try:
            with trio.fail_after(EXCHANGE_S):
                stream = await self._host.new_stream(ID.from_string(peer), [TProtocol(DCUTR)])
                asked = trio.current_time()
                await write_message(stream, self._connect_message())
                theirs = self._targets(await read_message(stream, HolePunch, deadline_s=EXCHANGE_S), peer)
                wait_s = min((trio.current_time() - asked) / 2, MAX_WAIT_S)
                await write_message(stream, HolePunch(type=HolePunch.SYNC))
            await trio.sleep(wait_s)
            await self._dial_all(peer, theirs, leading=True)
        except PunchFailed:
            raise
        except trio.TooSlowError:
            raise PunchFailed("The peer did not answer in time.") from None
        except Exception as error:
            cause = error.cause if isinstance(error, MeshError) else repr(error)
            raise PunchFailed("The peer does not punch holes.", cause=cause) from error
        finally:
            if stream is not None:
                await give_up(stream)

    async def _follow(self, stream: INetStream) -> None:
        """The other side's part: answer, and dial at its word."""
        peer = str(stream.muxed_conn.peer_id)
        if peer in self._busy or not is_relayed(stream.swarm_conn) or self._led_too_often(peer):
            await give_up(stream)
            return
        self._busy.add(peer)
        try:
            theirs = self._targets(await read_message(stream, HolePunch), peer)
            with expecting(self._host.get_network(), ID.from_string(peer), map(_source_of, theirs)):
                await write_message(stream, self._connect_message())
                word = await read_message(stream, HolePunch, deadline_s=EXCHANGE_S)
                if word.type == HolePunch.SYNC:
                    await self._dial_all(peer, theirs, leading=False)
        except MeshError as error:
            log.debug("hole_punch_failed", peer=peer, cause=error.cause)
        except Exception as error:  # noqa: BLE001 - whatever a peer's stream raises must not reach the host
            log.debug("hole_punch_failed", peer=peer, cause=repr(error))
        finally:
            self._busy.discard(peer)
            await give_up(stream)

    def _led_too_often(self, peer: str) -> bool:
        now = trio.current_time()
        self._follows = {each: times for each, times in self._follows.items() if times[-1] > now - FOLLOWS_S}
        times = [at for at in self._follows.get(peer, ()) if at > now - FOLLOWS_S]
        if len(times) >= FOLLOWS or (times and times[-1] > now - FOLLOW_GAP_S):
            return True
        self._follows[peer] = [*times, now]
        return False

    def _connect_message(self) -> HolePunch:
        addresses = [Multiaddr(address).to_bytes() for address in self._outside()[:MAX_ADDRESSES]]
        return HolePunch(type=HolePunch.CONNECT, ObsAddrs=addresses)

    def _targets(self, message: HolePunch, peer: str) -> Sequence[str]:
        """The addresses in the other side's message. Raises ``PunchFailed`` when there are none to dial."""
        told = []
        for raw in message.ObsAddrs[:MAX_ADDRESSES]:
            try:
                told.append(str(Multiaddr(bytes(raw))))
            except (ValueError, MultiaddrError):
                continue  # a peer's nonsense; its other addresses may do
        targets = self._dialable(told) if message.type == HolePunch.CONNECT else []
        if not targets:
            raise PunchFailed("The peer named no address to dial.", cause=f"{peer}: {len(told)} addresses")
        return targets

    async def _dial_all(self, peer: str, addresses: Sequence[str], *, leading: bool) -> None:
        """Dial all at once until one connects, from this side or the other. Raises ``PunchFailed``."""
        with trio.move_on_after(DIAL_S):
            async with trio.open_nursery() as nursery:
                for address in addresses:
                    nursery.start_soon(self._dial, peer, address, leading)
                while not self.connected_directly(peer):
                    await trio.sleep(0.05)
                nursery.cancel_scope.cancel()
        if not self.connected_directly(peer):
            raise PunchFailed("No connection came of it.", cause=", ".join(addresses))

    async def _dial(self, peer: str, address: str, leading: bool) -> None:
        network, target, expected = self._host.get_network(), Multiaddr(address), ID.from_string(peer)
        source = _listening_like(self._host, address)
        try:
            if leading:
                await network.dial_addr_as_responder(target, expected, source)
            else:
                await network.dial_addr(target, expected, source)
        except Exception as error:  # noqa: BLE001 - a dial fails in many ways; the other side's may still do
            log.debug("punch_dial_failed", peer=peer, address=address, cause=repr(error.__cause__ or error))

    def connected_directly(self, peer: str) -> bool:
        """True while a connection without a relay is open."""
        connections = self._host.get_network().connections.get(ID.from_string(peer), ())
        return any(not conn.is_closed and not is_relayed(conn) for conn in connections)


def _source_of(address: str) -> tuple[str, int]:
    """The (host, port) from which a dial of whoever is at this TCP address arrives."""
    _, _, host, _, port, *_ = address.split("/")
    return host, int(port)


def _listening_like(host: BasicHost, address: str) -> tuple[str, int] | None:
    """The (host, port) that this node listens on in the address's IP version: a NAT shows that port to others."""
    version = address.split("/")[1]
    for listening in host.get_transport_addrs():
        parts = str(listening).split("/")
        if len(parts) >= 5 and parts[1] == version and parts[3] == "tcp":
            return parts[2], int(parts[4])
    return None
