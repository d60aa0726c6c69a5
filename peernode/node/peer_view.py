"""The peers that a running node knows, as its operator sees them, and pings to them.

Owns which peers are known (connected, advertised, joined by configuration or banned) and the JSON of each. Leaves how
a peer is reached and measured to the mesh.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import trio

from peernode.edge.errors import UnknownPeer
from peernode.mesh import Mesh, PeerStatus
from peernode.mesh.limits.bans import Ban
from peernode.mesh.ping import MAX_COUNT, PROTOCOL, measure

OPEN_S = 10.0


class PeerView:
    """Looks at a mesh whenever it is asked. ``further`` peers are shown, too, though nothing is heard of them."""

    def __init__(self, mesh: Mesh, *, further: Collection[str] = ()) -> None:
        self._mesh = mesh
        self._further = frozenset(further)

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Every known peer but this node, ordered by id.

        ``lease_age_s`` is how old its newest word is, ``lease_left_s`` how long that still counts; ``suspect`` is a
        peer whose lease runs although it could not be reached. ``skew_ms`` is how far its clock is ahead of ours,
        as far as heard from itself. Values that are not known are None.
        """
        connected = {status.peer_id: status for status in self._mesh.peers()}
        bans = {ban.peer_id: ban for ban in self._mesh.bans() if ban.peer_id}
        return [
            {**self._row(peer, connected.get(peer)), "banned": _ban(bans.get(peer))}
            for peer in sorted(self._known(connected) | bans.keys() | self._further)
        ]

    async def ping(self, name: str, count: int) -> Mapping[str, Any]:
        """Real round trips to the peer whose id is, or alone begins or ends with, ``name``; dials it if need be.

        Raises ``UnknownPeer`` and ``DialFailed``. Round trips are milliseconds, None for a ping without an answer.
        """
        connected = {status.peer_id: status for status in self._mesh.peers()}
        peer = self._named(name, self._known(connected))
        async with self._mesh.open(peer, PROTOCOL, timeout_s=OPEN_S) as stream:
            trips = await measure(stream, count=max(1, min(count, MAX_COUNT)))
        status = next((each for each in self._mesh.peers() if each.peer_id == peer), None)
        answered = trips.answered
        return {
            "peer_id": peer,
            "path": path_of(status),
            "address": status.address if status else None,
            "sent": len(trips.seconds),
            "lost": trips.lost,
            "loss": trips.lost / len(trips.seconds),
            "rtt_ms": [_ms(each) for each in trips.seconds],
            "min_ms": _ms(min(answered, default=None)),
            "median_ms": _ms(trips.median),
            "max_ms": _ms(max(answered, default=None)),
        }

    def _known(self, connected: Mapping[str, PeerStatus]) -> set[str]:
        directory = self._mesh.directory
        leased = {peer for peer in directory.digest() if directory.holding(peer) and not directory.departed(peer)}
        return (leased | connected.keys() | self._mesh.joined) - {self._mesh.peer_id}

    def _named(self, name: str, known: set[str]) -> str:
        if name == self._mesh.peer_id:
            raise UnknownPeer("That is this node itself.", cause=name, remedy="Name another peer: `peernode peers`.")
        found = [peer for peer in known if peer == name or (name and (peer.startswith(name) or peer.endswith(name)))]
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownPeer(
                "Several peers are called that.",
                cause=f"{len(found)} ids begin or end with {name}",
                remedy="Give more of the id.",
            )
        raise UnknownPeer(
            "This node knows no such peer.", cause=name, remedy="`peernode peers` lists the known ones by id."
        )

    def _row(self, peer: str, connection: PeerStatus | None) -> Mapping[str, Any]:
        directory = self._mesh.directory
        holding = None if directory.departed(peer) else directory.holding(peer)
        advert = holding.standing.advert if holding else None
        return {
            "peer_id": peer,
            "connected": connection is not None,
            "path": path_of(connection),
            "direction": connection.direction if connection else None,
            "address": connection.address if connection else None,
            "rtt_ms": round(connection.rtt_ms, 2) if connection and connection.rtt_ms is not None else None,
            "connected_s": round(connection.connected_s, 1) if connection else None,
            "version": advert.version if advert else None,
            "models": [card.id for card in advert.models] if advert else [],
            "slots": advert.slots if advert else None,
            "free_slots": advert.free_slots if advert else None,
            "lease_age_s": round(holding.age_ms / 1000, 1) if holding else None,
            "lease_left_s": round((holding.standing.advert.lease_ms - holding.age_ms) / 1000, 1) if holding else None,
            "skew_ms": directory.skew_ms(peer),
            "suspect": peer not in directory.snapshot().adverts if holding else None,
        }


def _ban(ban: Ban | None) -> Mapping[str, Any] | None:
    return None if ban is None else {"reason": ban.reason, "left_s": round(ban.until_s - trio.current_time(), 1)}


def path_of(connection: PeerStatus | None) -> str | None:
    """How a connection runs: ``direct``, or ``relayed via`` and a peer id; None when there is none."""
    return None if connection is None else connection.path


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
