"""Who begins the handshake on a connection that comes of a hole punch: the same side, however the dials meet.

The library's leading dial always answers, and never begins. Where both dials cross on the way the other side's dial
begins; but where the leader's is there first, it arrives at the other's listener, and both would answer for ever. So
who follows tells here from where it expects the leader's dial, and begins on that connection although it accepted it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID

Source = tuple[str, int]


def _expectations(swarm: Swarm) -> dict[Source, ID]:
    expected: dict[Source, ID] = swarm.__dict__.setdefault("_punched_from", {})
    return expected


@contextmanager
def expecting(swarm: Swarm, peer: ID, sources: Iterator[Source]) -> Iterator[None]:
    """While this runs, a connection from one of ``sources`` (IP, port) is that leader's dial."""
    mine = dict.fromkeys(sources, peer)
    expected = _expectations(swarm)
    expected.update(mine)
    try:
        yield
    finally:
        for source in mine:
            expected.pop(source, None)


def punched_by(swarm: Swarm, source: Source | None) -> ID | None:
    """The leader whose dial is expected from ``source``; None for every other connection."""
    return _expectations(swarm).get(source) if source else None
