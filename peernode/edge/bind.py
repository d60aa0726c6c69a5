"""Where HTTP listens: the text HOST:PORT, read and held to the loopback interface.

Owns the rule that an HTTP port without accounts stays on this machine; ``serve`` opens the socket.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from peernode.edge.errors import BadBind, OpenBindRefused

MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Bind:
    """A loopback address and a port; port 0 lets the operating system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """Read ``HOST:PORT`` (IPv6 in brackets). Raises BadBind, or OpenBindRefused for anything but loopback."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > MAX_PORT:
        raise _bad_bind(text)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise _bad_bind(text)
    if host.lower() == "localhost":
        host = "127.0.0.1"  # one family, so that the port we report is the port that answers
    if not host:
        raise _bad_bind(text)
    if not is_loopback(host):
        raise OpenBindRefused(
            "HTTP listens on the loopback interface only.",
            cause=f"{host} can be reached from other machines, and this version has no API keys to tell who calls",
            remedy="Keep 127.0.0.1 and put an authenticating proxy in front of it; API keys come with accounts.",
        )
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
        remedy="Write it like 127.0.0.1:8080 or [::1]:8080; port 0 lets the system choose.",
    )
