"""How often a node says that it is still there, so that a network of any size costs its members the same.

Pure. A small network renews every 5 s on leases of 15 s; above 50 nodes both grow in proportion, so that a node hears
of about ten renewals a second, up to 95 s and 285 s. Load is told sooner, in large networks too no more than 40 times a
second by all together. News and departures never wait.
"""

from __future__ import annotations

RENEW_S = 5.0
UNSTRETCHED_NODES = 50
MAX_RENEW_S = 95.0
LEASE_RENEWALS = 3
LOAD_PAUSE_S = 0.25
LOADS_PER_S = 40.0


def renew_every_s(live: int) -> float:
    """Seconds between two renewals in a network of ``live`` nodes."""
    return min(RENEW_S * max(1.0, live / UNSTRETCHED_NODES), MAX_RENEW_S)


def lease_ms(live: int) -> int:
    """The lease to ask for: two renewals may be lost before it ends."""
    return int(renew_every_s(live) * LEASE_RENEWALS * 1000)


def load_pause_s(live: int) -> float:
    """Seconds between two words about load alone."""
    return min(max(LOAD_PAUSE_S, live / LOADS_PER_S), renew_every_s(live))
