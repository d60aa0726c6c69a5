"""Where HTTP listens: the text HOST:PORT, read.

Whether others may reach it without a key is for ``node.access_config`` to say; ``serve`` opens the socket.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from peernode.edge.errors import BadBind

MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Bind:
    """An address of this machine (or 0.0.0.0, or ::) and a port; port 0 lets the operating system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """Read ``HOST:PORT`` (IPv6 in brackets). Raises BadBind."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > MAX_PORT:
        raise _bad_bind(text)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise _bad_bind(text)
    if host.lower() == "localhost":
        host = "127.0.0.1"  # one family, so that the port we report is the port that answers
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise _bad_bind(text) from None
    return Bind(host, int(port))


def is_loopback(host: str) -> bool:
    """True for 127.0.0.0/8, ::1 and the name localhost."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bad_bind(text: str) -> BadBind:
    return BadBind(
        "The HTTP address is not HOST:PORT.",
        cause=f"found {text[:80]!r}",
        remedy="Write it like 127.0.0.1:8080 or [::1]:8080: an address, no name; port 0 lets the system choose.",
    )
