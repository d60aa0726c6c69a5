"""Peers on the local network, by multicast DNS (RFC 6762) and DNS service discovery (RFC 6763).

Owns publishing this node and listening for others, on the interfaces whose addresses this node advertises. The
protocol itself is python-zeroconf's, which runs in threads of its own. libp2p has an mDNS service upon it too, but
that dials whomever it hears of, on any network, behind our back. Leaves dialling to ``connections``.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Sequence

import structlog
import trio
from zeroconf import Error as ZeroconfError
from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

from peernode.mesh.addresses import host_of
from peernode.mesh.discovery.lan_record import SERVICE, reachable_on_lan, read_record, record
from peernode.mesh.found_peers import FoundPeers

log = structlog.get_logger(__name__)

# A node that died without a word is forgotten after this long.
RECORD_TTL_S = 120
HINT_S = 90.0
# How often our own addresses are looked at again (cables are plugged, laptops wake), and hints renewed.
LOOK_AGAIN_S = 15.0
ASK_TIMEOUT_MS = 1500
# Answers of a hostile neighbour must not fill the memory.
MAX_NAMES = 256

Published = tuple[Zeroconf, ServiceBrowser]


class LanDiscovery:
    """One node on its local networks. ``own_addresses`` are its full multiaddrs, at the moment of the call."""

    def __init__(
        self,
        *,
        peer_id: str,
        network: str,
        own_addresses: Callable[[], Sequence[str]],
        found: FoundPeers,
        rng: random.Random,
    ) -> None:
        self._peer_id = peer_id
        self._network = network
        self._own_addresses = own_addresses
        self._found = found
        # Not the peer id: a name that is taken, by a former life or by a prankster, would keep us from being found.
        self._label = f"peernode-{rng.getrandbits(64):016x}"
        self._heard: dict[str, tuple[str, list[str]]] = {}

    async def run(self) -> None:
        """Publish and listen until cancelled, anew whenever our addresses change; never raises."""
        while True:
            addresses = reachable_on_lan(self._own_addresses())
            if addresses:
                try:
                    await self._serve(addresses)
                except (OSError, ZeroconfError, RuntimeError) as error:
                    log.warning("mdns_unavailable", cause=str(error) or repr(error), again_in_s=LOOK_AGAIN_S)
            await trio.sleep(LOOK_AGAIN_S)

    async def _serve(self, addresses: list[str]) -> None:
        token = trio.lowlevel.current_trio_token()
        published: list[Published] = []
        try:
            with trio.CancelScope(shield=True):  # or nobody would close what the thread has opened by then
                published.append(await trio.to_thread.run_sync(self._publish, addresses, token))
            log.info("mdns_running", addresses=addresses)
            while reachable_on_lan(self._own_addresses()) == addresses:
                for peer_id, told in self._heard.values():
                    self._found.add(peer_id, told, for_s=HINT_S)
                await trio.sleep(LOOK_AGAIN_S)
        finally:
            self._heard.clear()
            for zeroconf, browser in published:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(_close, zeroconf, browser)

    def _publish(self, addresses: list[str], token: trio.lowlevel.TrioToken) -> Published:
        """In a thread: zeroconf waits for its own."""
        hosts = list(dict.fromkeys(host_of(address) for address in addresses))
        is_v6 = any(":" in host for host in hosts)
        zeroconf = Zeroconf(interfaces=hosts, ip_version=IPVersion.All if is_v6 else IPVersion.V4Only)
        try:
            info = ServiceInfo(
                SERVICE,
                f"{self._label}.{SERVICE}",
                port=int(addresses[0].rpartition("/")[2]),
                addresses=[ipaddress.ip_address(host).packed for host in hosts],
                server=f"{self._label}.local.",
                properties=record(self._peer_id, self._network, addresses),
                host_ttl=RECORD_TTL_S,
                other_ttl=RECORD_TTL_S,
            )
            # The name is random: no need to ask first whether it is taken.
            zeroconf.register_service(info, cooperating_responders=True)

            def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
                self._changed(zeroconf, name, state_change, token)

            return zeroconf, ServiceBrowser(zeroconf, SERVICE, handlers=[changed])
        except BaseException:
            zeroconf.close()
            raise

    def _changed(
        self, zeroconf: Zeroconf, name: str, change: ServiceStateChange, token: trio.lowlevel.TrioToken
    ) -> None:
        """In the browser's thread, which waits until trio has taken the news: a flood holds up itself only."""
        properties: dict[bytes, bytes | None] | None = None
        if change is not ServiceStateChange.Removed:
            info = zeroconf.get_service_info(SERVICE, name, timeout=ASK_TIMEOUT_MS)
            properties = info.properties if info is not None else None
        try:
            trio.from_thread.run_sync(self._note, name, properties, trio_token=token)
        except (trio.RunFinishedError, trio.Cancelled):
            return  # the node is going down

    def _note(self, name: str, properties: dict[bytes, bytes | None] | None) -> None:
        read = read_record(properties, self._network) if properties is not None else None
        if read is None or read[0] == self._peer_id:
            self._heard.pop(name, None)
            return
        if name not in self._heard and len(self._heard) >= MAX_NAMES:
            return
        if self._heard.get(name) != read:
            log.info("lan_peer_found", peer=read[0], addresses=read[1])
        self._heard[name] = read
        self._found.add(*read, for_s=HINT_S)


def _close(zeroconf: Zeroconf, browser: ServiceBrowser) -> None:
    browser.cancel()
    zeroconf.close()
