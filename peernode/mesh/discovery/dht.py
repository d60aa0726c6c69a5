"""Peers from all over the world, by a record in libp2p's Kademlia table under a digest of the network's name.

Owns the record of this node, its renewal, and the search for the records of others. Whatever node the operator joined
is the way into the table, if it takes part. Off by default: whoever takes part answers strangers' lookups. Leaves
dialling to ``connections``. Specification: github.com/libp2p/specs, kad-dht.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence

import structlog
import trio
from libp2p.host.basic_host import BasicHost
from libp2p.kad_dht.common import PROTOCOL_ID
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.kad_dht.provider_store import ProviderStore
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import PeerStoreError
from libp2p.records.validator import NamespacedValidator
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from peernode.mesh.connections import Connections
from peernode.mesh.discovery.dht_host import DhtHost
from peernode.mesh.recruiting import MAX_CONNECTED

log = structlog.get_logger(__name__)

# The pauses grow from the first to the second, at once when there are peers enough.
FIRST_PAUSE_S = 1.0
RENEW_EVERY_S = 600.0
LOOKUP_DEADLINE_S = 60.0
# A record that was not renewed for this long is nobody's.
RECORD_AGE_S = 3600.0
HINT_S = 900.0
MAX_KEYS = 256
MAX_ASKED = 20
MAX_RECORDS = 64
_MULTIHASH_SHA2_256 = b"\x12\x20"


def network_key(network: str) -> bytes:
    """The key of a network's records, a multihash; who does not know the name cannot read it from the key."""
    return _MULTIHASH_SHA2_256 + hashlib.sha256(b"peernode/network/1\0" + network.encode()).digest()


class BoundedProviders(ProviderStore):
    """libp2p 0.8.1 keeps any number of keys, and of each the first twenty records for two days, dead or alive.

    Here: few keys, our own always, and of each the twenty renewed last within the hour.
    """

    def __init__(self, host: DhtHost, dht: KadDHT, own_key: bytes) -> None:
        super().__init__(host=host, peer_routing=dht.peer_routing)
        self._own_key = own_key

    def add_provider(self, key: bytes, provider: PeerInfo) -> None:
        """Take in a record, the oldest of that key giving way if need be; of a key too many, nothing."""
        self._drop_old()
        if key not in self.providers and key != self._own_key and len(self.providers) >= MAX_KEYS:
            return
        records = self.providers.setdefault(key, {})
        records.pop(str(provider.peer_id), None)
        if len(records) >= MAX_ASKED:
            del records[min(records, key=lambda peer_id: records[peer_id].timestamp)]
        super().add_provider(key, provider)

    def get_providers(self, key: bytes) -> list[PeerInfo]:
        """The fresh records of ``key``."""
        self._drop_old()
        found: list[PeerInfo] = super().get_providers(key)
        return found

    def _drop_old(self) -> None:
        oldest_s = self.now_s() - RECORD_AGE_S
        for key, records in list(self.providers.items()):
            for peer_id in [peer_id for peer_id, record in records.items() if record.timestamp < oldest_s]:
                del records[peer_id]
            if not records:
                del self.providers[key]

    @staticmethod
    def now_s() -> float:
        """Unix time, by which the library stamps records."""
        return time.time()


class DhtDiscovery:
    """One node in the table, for as long as ``run`` runs."""

    def __init__(
        self, host: BasicHost, *, connections: Connections, network: str, own_addresses: Callable[[], Sequence[str]]
    ) -> None:
        self._key = network_key(network)
        self._connections = connections
        self._libp2p_host = host
        self._host = DhtHost(host, reach=connections.reach, own_addresses=own_addresses)
        # No values, only providers: a validator without namespaces refuses every value.
        self._dht = KadDHT(
            self._host,
            DHTMode.SERVER,
            validator=NamespacedValidator({}, strict_validation=True),
            validator_changed=True,
            strict_validation=True,
        )
        self._providers = BoundedProviders(self._host, self._dht, self._key)
        self._dht.provider_store = self._providers

    async def run(self) -> None:
        """Publish and search until cancelled; never raises because of a peer."""
        async with background_trio_service(self._dht), trio.open_nursery() as nursery:
            nursery.start_soon(self._search)
            nursery.start_soon(self._publish)

    async def _publish(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            await self._introduce()
            told = False
            with trio.move_on_after(LOOKUP_DEADLINE_S):
                told = await self._providers.provide(self._key)
            log.debug("dht_record_published", told=told)
            pause_s = RENEW_EVERY_S if told else min(2 * pause_s, RENEW_EVERY_S)
            await trio.sleep(pause_s)

    async def _search(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            await self._introduce()
            with trio.move_on_after(LOOKUP_DEADLINE_S):
                await self._look_up()
            enough = len(self._connections.watch.peers()) >= MAX_CONNECTED
            pause_s = RENEW_EVERY_S if enough else min(2 * pause_s, RENEW_EVERY_S)
            await trio.sleep(pause_s)

    async def _introduce(self) -> None:
        """Tell the table of the connected peers that take part; nothing happens before there is one."""
        watch = self._connections.watch
        await watch.wait_until(lambda: bool(watch.peers()))
        for status in watch.statuses():
            peer = ID.from_string(status.peer_id)
            if status.direction == "outbound" and status.address and self._takes_part(peer):
                address = Multiaddr(status.address)
                self._host.get_peerstore().add_addrs(peer, [address], int(2 * RENEW_EVERY_S))
                await self._dht.routing_table.add_peer(PeerInfo(peer, [address]))

    def _takes_part(self, peer: ID) -> bool:
        try:
            return PROTOCOL_ID in self._libp2p_host.get_peerstore().get_protocols(peer)
        except PeerStoreError:
            return False

    async def _look_up(self) -> None:
        """Ask those closest to the key for its records."""
        # The library's own search asks nobody once it knows one record, be it our own.
        closest = await self._dht.peer_routing.find_closest_peers_network(self._key, MAX_ASKED)
        records: dict[str, list[str]] = {}

        def note(found: list[PeerInfo]) -> None:
            for info in found:
                if len(records) < MAX_RECORDS and info.peer_id != self._libp2p_host.get_id():
                    records[str(info.peer_id)] = [str(address).partition("/p2p/")[0] for address in info.addrs]

        async def ask(peer: ID) -> None:
            found, _ = await self._providers._get_providers_from_peer_with_closers(peer, self._key)
            note(found)

        note(self._providers.get_providers(self._key))
        async with trio.open_nursery() as nursery:
            for peer in closest:
                if peer != self._libp2p_host.get_id():
                    nursery.start_soon(ask, peer)
        for peer_id, addresses in records.items():
            self._connections.found.add(peer_id, addresses, for_s=HINT_S)
        log.debug("dht_searched", asked=len(closest), found=len(records))
