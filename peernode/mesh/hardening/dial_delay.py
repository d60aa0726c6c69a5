"""libp2p 0.8.1: every dial, successful or not, waits a fixed 250 ms (the pause between "happy eyeballs" attempts).

Mended by setting the pause to zero: peernode dials one address at a time, so there is no second attempt to delay.
"""

from __future__ import annotations

from libp2p.network import swarm


def mend() -> None:
    """Take the fixed pause out of dialling."""
    swarm._HAPPY_EYEBALLS_DELAY = 0.0
