"""What a node tells its operator about how others reach it. Pure values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NatStatus:
    """``reach``: "off", "unknown", "public" or "private"; ``reason``: "nat" or "firewall" of a private one.

    ``address`` is how peers see this node; ``relays`` are the peers through which it can be called; ``circuits`` is how
    many it carries for others, if ``relaying``; ``router`` says what came of asking the router (UPnP).
    """

    reach: str = "off"
    reason: str = ""
    address: str = ""
    remedy: str = ""
    relays: tuple[str, ...] = ()
    relaying: bool = False
    circuits: int = 0
    router: str = ""


OFF = NatStatus()
