"""A port from the router by UPnP (Internet Gateway Device), through miniupnpc. Blocking: for a worker thread.

Any machine in the house can answer as a router; the worst that a false one can do is to say what is not so, which the
next question to peers shows.
"""

from __future__ import annotations

import ipaddress
import random
from dataclasses import dataclass

import miniupnpc

from peernode.mesh.nat.errors import PortRefused

LEASE_S = 3600
DISCOVER_MS = 2000
OTHER_PORTS = range(20_000, 60_000)
ATTEMPTS = 3
_DESCRIPTION = "peernode"


@dataclass(frozen=True, slots=True)
class MappedPort:
    """``port`` of the router's outer address ``host`` leads to this node."""

    host: str
    port: int


class UpnpRouter:
    """One router, found anew by each ``open``."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def open(self, port: int) -> MappedPort:
        """Map a port of the router to ``port`` here: the same if it is free there. Raises ``PortRefused``."""
        gateway = _find()
        wanted = [port, *(self._rng.choice(OTHER_PORTS) for _ in range(ATTEMPTS - 1))]
        last = ""
        for outer in wanted:
            try:
                if _map(gateway, outer, port):
                    return MappedPort(str(gateway.externalipaddress()), outer)
            except Exception as error:  # noqa: BLE001 - the library raises bare Exceptions with the router's words
                last = str(error)
        raise PortRefused("The router gave no port.", cause=last)

    def close(self, mapped: MappedPort) -> None:
        """Give the port back. Raises ``PortRefused``."""
        gateway = _find()
        try:
            gateway.deleteportmapping(mapped.port, "TCP")
        except Exception as error:
            raise PortRefused("The router kept the port.", cause=str(error)) from error


def _find() -> miniupnpc.UPnP:
    gateway = miniupnpc.UPnP()
    gateway.discoverdelay = DISCOVER_MS
    try:
        found = gateway.discover()
        if not found:
            raise PortRefused("No router answers to UPnP.", remedy="Switch UPnP on in the router, or forward the port.")
        gateway.selectigd()
        host = str(gateway.externalipaddress())
    except PortRefused:
        raise
    except Exception as error:
        cause = str(error)
        if cause == "Success":  # what the library says when nobody answered
            raise PortRefused("No router answers to UPnP.") from error
        raise PortRefused("What answers to UPnP is no router.", cause=cause) from error
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise PortRefused("The router has no address outside.", cause=host[:64]) from error
    return gateway


def _map(gateway: miniupnpc.UPnP, outer: int, inner: int) -> bool:
    try:
        # With a lease: a node that dies leaves no hole in the router for ever. Some routers only take 0.
        return bool(gateway.addportmapping(outer, "TCP", gateway.lanaddr, inner, _DESCRIPTION, "", LEASE_S))
    except Exception as error:
        if "OnlyPermanentLeasesSupported" not in str(error):
            raise
        return bool(gateway.addportmapping(outer, "TCP", gateway.lanaddr, inner, _DESCRIPTION, "", 0))
