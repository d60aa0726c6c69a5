"""The mesh as the rest of the node sees it: a peer id, a directory, and streams to peers.

Owns how host, connections, gossip and sync are put together, restarted and taken down. Leaves each of them to its own
module, and what is said on a stream to whoever opened or handles it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID

from peernode.mesh.addresses import advertised, parse_join
from peernode.mesh.connections import Connections, PeerStatus
from peernode.mesh.directory import Directory
from peernode.mesh.discovery.running import Discovery
from peernode.mesh.errors import DialFailed, FrameTooLarge, MeshError
from peernode.mesh.frames import FrameStream
from peernode.mesh.gossip import Gossip
from peernode.mesh.host import StartSignal, build_host, keep_running, listening, sole_cause
from peernode.mesh.known_peers import FILE_NAME as KNOWN_PEERS_FILE
from peernode.mesh.known_peers import KnownPeers
from peernode.mesh.leases import Change, ChangeKind
from peernode.mesh.limits.acquaintances import Acquaintances
from peernode.mesh.limits.bans import Ban, BanTable
from peernode.mesh.limits.guard import Guard
from peernode.mesh.nat.status import OFF, NatStatus
from peernode.mesh.nat.traversal import Traversal
from peernode.mesh.optimistic_opening import ByteStream, open_optimistically, speaks
from peernode.mesh.ping import PROTOCOL as PING_PROTOCOL
from peernode.mesh.ping import echo
from peernode.mesh.settings import DEFAULTS, MeshSettings
from peernode.mesh.sync import PROTOCOL as SYNC_PROTOCOL
from peernode.mesh.sync import Sync
from peernode.mesh.traffic import GOSSIP, Traffic
from peernode.wire.advert import SignedAdvert
from peernode.wire.bounds import MAX_OFFER_FRAME_BYTES
from peernode.wire.identity import Identity
from peernode.wire.job_frames import PROTOCOL as JOB_PROTOCOL
from peernode.wire.renewal import SignedRenewal

log = structlog.get_logger(__name__)

# What opens a conversation may be larger than an ordinary frame.
_OPENING_BYTES = {JOB_PROTOCOL: MAX_OFFER_FRAME_BYTES}
Handler = Callable[[FrameStream], Awaitable[None]]
SYNC_OPEN_S = 10.0
# How long a node that goes away waits for its neighbours to have read that.
FAREWELL_S = 1.0
# A peer of another version might do it by mistake, but not again and again.
TOO_LARGE_WEIGHT = 0.25
MAX_DIRECT_ADDRESSES = 12


class _Life:
    """What exists while one host lives; a restart makes a new one."""

    def __init__(self, host: BasicHost, connections: Connections, gossip: Gossip, nursery: trio.Nursery) -> None:
        self.host = host
        self.connections = connections
        self.gossip = gossip
        self.nursery = nursery
        self.traversal: Traversal | None = None


class Mesh:
    """This node's place on the peer-to-peer network ``network``.

    ``listen`` and ``join`` are multiaddrs (a joined one ends in ``/p2p/12D3Koo…``); ``clock_ms`` is Unix time in
    milliseconds; ``rng`` serves jitter only; ``state`` is the folder for what is to be known after a restart. Raises
    ``BadJoinAddress`` for an address that cannot be one.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        network: str,
        listen: Sequence[str],
        join: Sequence[str],
        clock_ms: Callable[[], int],
        rng: random.Random,
        settings: MeshSettings = DEFAULTS,
        state: Path | None = None,
    ) -> None:
        self.peer_id = identity.peer_id
        self._settings = settings
        self._state = state
        self.traffic = Traffic()
        self.directory = Directory(network=network, clock_ms=clock_ms, own=identity.peer_id)
        self._identity = identity
        self._network = network
        self._listen = list(listen)
        self._join: dict[str, list[str]] = {}
        for address in join:
            peer_id, transport = parse_join(address)
            self._join.setdefault(peer_id, []).append(transport)
        acquaintances = Acquaintances(
            named=self._join,
            advertised=self._advertised,
            listed=lambda peer_id: peer_id in self.directory.snapshot().adverts,
            clock=trio.current_time,
        )
        self._guard = Guard(settings, acquaintances=acquaintances)
        self._guard.check_named([*self._join])
        known_peers = None if state is None else state / KNOWN_PEERS_FILE
        self._known = KnownPeers(known_peers, network=network, clock_ms=clock_ms)
        self._rng = rng
        self._sync = Sync(peer_id=self.peer_id, directory=self.directory, rng=rng, report=self._guard.bans.report)
        self._handlers: dict[str, Handler] = {SYNC_PROTOCOL: self._sync.serve, PING_PROTOCOL: echo}
        self._life: _Life | None = None
        self._moved = trio.Event()

    def addresses(self) -> list[str]:
        """The multiaddrs at which others can dial this node, with real ports; empty until it listens."""
        if self._life is None:
            return []
        traversal = self._life.traversal
        return self._direct_addresses() + (traversal.addresses() if traversal is not None else [])

    async def addresses_changed(self) -> None:
        """Return when a relay or the router gives this node another address, or takes one away."""
        await self._moved.wait()

    def _note_move(self) -> None:
        self._moved.set()
        self._moved = trio.Event()

    def reachability(self) -> NatStatus:
        """Whether peers can connect to this node, through whom if not, and what the operator can do."""
        traversal = self._life.traversal if self._life is not None else None
        return OFF if traversal is None else traversal.status()

    def _direct_addresses(self) -> list[str]:
        """Where this node itself listens; at most twelve, so that an advert has room for its circuit addresses."""
        if self._life is None:
            return []
        listening = (str(address) for address in self._life.host.get_transport_addrs())
        return advertised(listening, self.peer_id)[:MAX_DIRECT_ADDRESSES]

    @property
    def joined(self) -> frozenset[str]:
        """The peers that this node was told to join, reached or not."""
        return frozenset(self._join)

    def peers(self) -> list[PeerStatus]:
        """The connected peers."""
        return self._life.connections.watch.statuses() if self._life else []

    def round_trip_s(self, peer_id: str) -> float | None:
        """Seconds to a connected peer and back, as pings tell; None while unknown."""
        return self._life.connections.watch.round_trip_s(peer_id) if self._life else None

    def bans(self) -> list[Ban]:
        """Who is banned or slowed down now, why, and until when on trio's clock."""
        return self._guard.bans.bans()

    def limited(self) -> Mapping[str, int]:
        """How often a connection or stream was refused, or a peer slowed down, by reason."""
        return self._guard.refusals

    @property
    def misbehaviour(self) -> BanTable:
        """Where to report what a peer did wrong on a stream."""
        return self._guard.bans

    def handle(self, protocol: str, handler: Handler) -> None:
        """Let ``handler`` converse with whoever opens ``protocol``. To be called before ``run``.

        When the handler returns the stream is ended in order; when it raises, the stream is reset and the error logged.
        """
        self._handlers[protocol] = handler

    async def publish(self, signed: SignedAdvert) -> None:
        """Make this node's own advert known: to its own directory at once, to neighbours by sync, as news by gossip.

        A renewal is no news. Without a running host the advert waits in the directory for the first neighbour. A
        departure is published when the neighbours have taken it in, at most ``FAREWELL_S`` later: then the node may go.
        """
        change = self.directory.offer(signed)
        is_news = isinstance(change, Change) and change.kind is not ChangeKind.RENEWED
        if is_news and self._life is not None:
            await self._life.gossip.publish(signed.raw)
        if signed.advert.is_departure:
            await self._sync.farewell(FAREWELL_S)

    def renew(self, renewal: SignedRenewal) -> None:
        """Make known that this node's own advert still stands: to its own directory at once, to neighbours by sync."""
        self.directory.renew(renewal)

    @asynccontextmanager
    async def open(
        self, peer_id: str, protocol: str, *, timeout_s: float, speak_first: bool = False
    ) -> AsyncIterator[FrameStream]:
        """A stream to ``peer_id``, dialling if need be; ended in order on leaving, reset if the body raises.

        Raises ``DialFailed`` when the peer cannot be reached or does not speak ``protocol`` within ``timeout_s``
        seconds; an unreachable peer is hidden from the directory until it says something new. With ``speak_first``
        the body sends before it receives, and a peer that is known to speak ``protocol`` is not waited for: it is the
        first ``receive`` that raises then.
        """
        stream = await self._open(peer_id, protocol, timeout_s, speak_first=speak_first)
        try:
            yield stream
        except BaseException:
            await stream.abort()
            raise
        await stream.close()

    async def run(self, *, task_status: StartSignal = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, stay connected and keep the directory until cancelled; ``task_status`` tells when it listens.

        Raises ``ListenFailed`` if no address can be bound; after that a failing host is restarted.
        """
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.directory.run)
                await keep_running(self._live, rng=self._rng, task_status=task_status)
        except ExceptionGroup as group:
            raise sole_cause(group) from None

    async def _live(self, *, task_status: StartSignal = trio.TASK_STATUS_IGNORED) -> None:
        host = build_host(self._identity.seed, self._listen, self._guard)
        connections = Connections(
            host,
            peer_id=self.peer_id,
            join=self._join,
            directory=self.directory,
            own_addresses=self._direct_addresses,
            rng=self._rng,
            traffic=self.traffic,
            known=self._known,
            allow=self._settings.allow_peers,
        )
        flow = self.traffic.flow(GOSSIP)
        report = self._guard.bans.report
        gossip = Gossip(
            host,
            network=self._network,
            directory=self.directory,
            flow=flow,
            report=report,
            limited=self._guard.count,
        )
        async with listening(host, self._listen), trio.open_nursery() as nursery:
            bound = [str(address) for address in host.get_transport_addrs()]
            if len(bound) >= len(self._listen):  # one that failed now may be free at the next restart
                self._listen = bound  # a restart keeps the port
            self._life = _Life(host, connections, gossip, nursery)
            try:
                for protocol, handler in self._handlers.items():
                    host.set_stream_handler(TProtocol(protocol), self._serving(protocol, handler, nursery))
                await nursery.start(gossip.run)
                self._life.traversal = traversal = Traversal(
                    host,
                    peer_id=self.peer_id,
                    settings=self._settings,
                    directory=self.directory,
                    direct=self._direct_addresses,
                    nursery=nursery,
                    rng=self._rng,
                    moved=self._note_move,
                )
                connections.call_circuits_with(traversal.call)
                nursery.start_soon(traversal.run)
                nursery.start_soon(connections.run)
                discovery = Discovery(
                    self._settings,
                    host=host,
                    connections=connections,
                    network=self._network,
                    own_addresses=self._direct_addresses,
                    rng=self._rng,
                )
                nursery.start_soon(discovery.run)
                nursery.start_soon(self._sync.keep_with, connections.watch, self._open_for_sync)
                log.info("mesh_listening", peer_id=self.peer_id, addresses=self.addresses())
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._life = None

    def _advertised(self) -> dict[str, tuple[str, ...]]:
        return {peer: signed.advert.addresses for peer, signed in self.directory.snapshot().adverts.items()}

    def _serving(
        self, protocol: str, handler: Handler, nursery: trio.Nursery
    ) -> Callable[[INetStream], Awaitable[None]]:
        async def serve(net_stream: INetStream) -> None:
            self.traffic.flow(protocol).opened_in += 1
            stream = self._conversation(net_stream, nursery, protocol)
            try:
                await handler(stream)
                await stream.close()
            except MeshError as error:
                log.debug("conversation_ended", protocol=protocol, peer=stream.peer_id, reason=error.code)
                await stream.abort()
            except Exception as error:
                log.exception("conversation_failed", protocol=protocol, peer=stream.peer_id, error=repr(error))
                await stream.abort()
            except BaseException:
                await stream.abort()
                raise
            finally:
                if stream.broke_bounds:  # handlers may have seen to the error, but not to this
                    self._guard.bans.report(stream.peer_id, FrameTooLarge.code, TOO_LARGE_WEIGHT)

        return serve

    async def _open_for_sync(self, peer_id: str, protocol: str) -> FrameStream:
        return await self._open(peer_id, protocol, SYNC_OPEN_S)

    async def _open(self, peer_id: str, protocol: str, timeout_s: float, *, speak_first: bool = False) -> FrameStream:
        life = self._life
        if life is None:
            raise DialFailed("The mesh is not running.")
        connected = False
        net_stream: ByteStream
        try:
            with trio.fail_after(timeout_s) as limit:
                await life.connections.reach(peer_id)
                connected = True
                if speak_first and speaks(life.host, peer_id, protocol):

                    def failed(was_silent: bool) -> None:
                        if was_silent or not life.connections.watch.live(peer_id):
                            self.directory.suspect(peer_id)

                    net_stream = await open_optimistically(
                        life.host, peer_id, protocol, answer_by=limit.deadline, failed=failed
                    )
                else:
                    net_stream = await life.host.new_stream(ID.from_string(peer_id), [TProtocol(protocol)])
        except DialFailed:
            self.directory.suspect(peer_id)
            raise
        except trio.TooSlowError:
            self.directory.suspect(peer_id)
            raise DialFailed(f"Peer {peer_id} did not answer.", cause=f"nothing for {timeout_s:g} s") from None
        except Exception as error:
            # Connected, but it would not speak the protocol, or the connection broke just now.
            if not connected or not life.connections.watch.live(peer_id):
                self.directory.suspect(peer_id)
            raise DialFailed(f"Peer {peer_id} did not open {protocol}.", cause=str(error)) from error
        if self._life is not life:  # the host fell meanwhile, and its nursery takes no more readers
            raise DialFailed("The mesh is not running.")
        self.traffic.flow(protocol).opened_out += 1
        return self._conversation(net_stream, life.nursery, protocol)

    def _conversation(self, net_stream: ByteStream, nursery: trio.Nursery, protocol: str) -> FrameStream:
        return FrameStream(
            net_stream,
            nursery,
            opening_bytes=_OPENING_BYTES.get(protocol, 0),
            protocol=protocol,
            flow=self.traffic.flow(protocol),
        )
