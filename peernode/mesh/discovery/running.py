"""Which kinds of discovery run beside one life of the host: those switched on, and useful where it listens."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import trio
from libp2p.host.basic_host import BasicHost

from peernode.mesh.addresses import is_loopback
from peernode.mesh.connections import Connections
from peernode.mesh.discovery.dht import DhtDiscovery
from peernode.mesh.discovery.lan import LanDiscovery
from peernode.mesh.settings import MeshSettings


class Discovery:
    """All discovery of one host, which listens already. ``own_addresses`` are those that others can dial directly."""

    def __init__(
        self,
        settings: MeshSettings,
        *,
        host: BasicHost,
        connections: Connections,
        network: str,
        own_addresses: Callable[[], Sequence[str]],
        rng: random.Random,
    ) -> None:
        self._lan: LanDiscovery | None = None
        self._dht: DhtDiscovery | None = None
        if settings.dht:
            self._dht = DhtDiscovery(host, connections=connections, network=network, own_addresses=own_addresses)
        # Who listens on loopback only has nothing to say to others, and nothing to hear from them.
        if settings.mdns and any(not is_loopback(str(address)) for address in host.get_transport_addrs()):
            self._lan = LanDiscovery(
                peer_id=str(host.get_id()),
                network=network,
                own_addresses=own_addresses,
                found=connections.found,
                rng=rng,
            )

    async def run(self) -> None:
        """Look for peers until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._lan is not None:
                nursery.start_soon(self._lan.run)
            if self._dht is not None:
                nursery.start_soon(self._dht.run)
