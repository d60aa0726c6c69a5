"""Who gets one of this node's connections: handshakes under way, and seats for those who finished theirs.

Pure but for the clock passed in. A stranger who never finishes must not keep others out, so a newcomer is always let
in and the oldest unfinished handshake gives way: of the same address first, else of the address with most of them.
Seats are kept free for peers this node knows or was told of. Leaves closing connections to ``hardening``.
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

from peernode.mesh.limits.token_bucket import KeyedBuckets, TokenBucket

MAX_HANDSHAKES = 128
HANDSHAKES_PER_ADDRESS = 32
# A handshake that is gone through with costs milliseconds of CPU. Known addresses are exempt from the total.
HANDSHAKES_PER_S = 200.0
HANDSHAKE_BURST = 1000.0
HANDSHAKES_PER_S_AND_ADDRESS = 16.0
HANDSHAKE_BURST_PER_ADDRESS = 64.0
CONNECTIONS_PER_PEER = 4
# An honest peer that lost us dials again with growing pauses.
CONNECTS_PER_S_AND_PEER = 0.5
CONNECT_BURST_PER_PEER = 30.0
TOO_OFTEN = "connects too often"
NAMED_SHARE = 0.1


class Standing(enum.IntEnum):
    """What a peer is to this node: unknown, met or heard of, or named by its operator."""

    STRANGER = 0
    KNOWN = 1
    NAMED = 2


def address_group(ip: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network of an IPv6 one (one customer has all of it)."""
    try:
        parsed = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False)) if not parsed.is_loopback else str(parsed)
    return str(parsed)


@dataclass(eq=False, slots=True)
class Handshake:
    """An unfinished handshake. ``give_way`` is called when it has to make room."""

    address: str
    give_way: Callable[[], None]


@dataclass(eq=False, slots=True)
class Seat:
    """An established connection that somebody else opened."""

    address: str
    peer_id: str
    since_s: float = field(default=0.0)


class Admission:
    """Handshakes and seats of one node.

    ``standing`` tells what a peer is to this node; ``knows_address`` whether an address group is one where known peers
    are. ``max_connections`` is the total of seats, of which strangers get three quarters and known peers nine tenths;
    ``per_address`` bounds those of strangers, and twice that bounds those of known peers.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        per_address: int,
        standing: Callable[[str], Standing],
        knows_address: Callable[[str], bool],
        clock: Callable[[], float],
    ) -> None:
        self._max = max_connections
        self._per_address = per_address
        self._standing = standing
        self._knows_address = knows_address
        self._clock = clock
        self._handshakes: dict[Handshake, None] = {}
        self._seats: dict[Seat, None] = {}
        self._rate = TokenBucket(per_second=HANDSHAKES_PER_S, burst=HANDSHAKE_BURST)
        self._connects = KeyedBuckets(per_second=CONNECTS_PER_S_AND_PEER, burst=CONNECT_BURST_PER_PEER)
        self._rates = KeyedBuckets(per_second=HANDSHAKES_PER_S_AND_ADDRESS, burst=HANDSHAKE_BURST_PER_ADDRESS)

    @property
    def handshakes(self) -> int:
        """How many handshakes are under way."""
        return len(self._handshakes)

    @property
    def seats(self) -> int:
        """How many seats are taken."""
        return len(self._seats)

    def knock(self, address: str, give_way: Callable[[], None]) -> Handshake | str:
        """Let a connection from the address group begin its handshake, or say why not."""
        now_s = self._clock()
        if not self._rates.take(address, now_s):
            return "too many handshakes from one address"
        if not self._rate.take(now_s) and not self._knows_address(address):
            return "too many handshakes"
        same = [handshake for handshake in self._handshakes if handshake.address == address]
        if len(same) >= HANDSHAKES_PER_ADDRESS:
            self._evict(same[0])
        elif len(self._handshakes) >= MAX_HANDSHAKES:
            self._evict(self._most_crowded())
        handshake = Handshake(address, give_way)
        self._handshakes[handshake] = None
        return handshake

    def leave(self, handshake: Handshake) -> None:
        """The handshake is over, one way or the other."""
        self._handshakes.pop(handshake, None)

    def take_seat(self, address: str, peer_id: str) -> Seat | str:
        """Seat a peer whose identity is proven, or say why not."""
        standing = self._standing(peer_id)
        share = {Standing.STRANGER: 0.75, Standing.KNOWN: 1.0 - NAMED_SHARE, Standing.NAMED: 1.0}[standing]
        if standing is not Standing.NAMED and not self._connects.take(peer_id, self._clock()):
            return TOO_OFTEN
        if len(self._seats) >= max(1, int(self._max * share)):
            return "too many connections"
        if sum(seat.peer_id == peer_id for seat in self._seats) >= CONNECTIONS_PER_PEER:
            return "too many connections of one peer"
        if standing is not Standing.NAMED:
            limit = self._per_address * (1 if standing is Standing.STRANGER else 2)
            here = sum(seat.address == address and self._standing(seat.peer_id) <= standing for seat in self._seats)
            if here >= limit:
                return "too many connections from one address"
        seat = Seat(address, peer_id, self._clock())
        self._seats[seat] = None
        return seat

    def give_up(self, seat: Seat) -> float:
        """The connection is over; for how many seconds it lasted."""
        self._seats.pop(seat, None)
        return self._clock() - seat.since_s

    def _evict(self, handshake: Handshake) -> None:
        self.leave(handshake)
        handshake.give_way()

    def _most_crowded(self) -> Handshake:
        """The oldest handshake of the address with most of them; known addresses only if there are no others."""
        by_address: dict[str, list[Handshake]] = {}
        for handshake in self._handshakes:
            by_address.setdefault(handshake.address, []).append(handshake)
        return max(by_address.values(), key=lambda same: (not self._knows_address(same[0].address), len(same)))[0]
