"""Whom else to keep a connection to: a pure choice, made anew whenever peers come and go.

Owns how many connections a node wants and of which kind. What an attacker can do is fill our inbound side, so inbound
connections never stand for those of our own choosing: some outbound ones are wanted in any case, and among them some
to peers that the operator named or that were reached in earlier days (against eclipse: Heilman et al., "Eclipse
Attacks on Bitcoin's Peer-to-Peer Network", 2015, its "anchor connections"). Time and randomness are passed in.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

# Enough for every node to stay reachable within few hops; a job dials whom it needs. Others may dial us on top.
MAX_CONNECTED = 8
MIN_OUTBOUND = 4
MIN_TRUSTED = 2
# Peers dialled again and again at a time, dead ones included.
MAX_KEPT = 64
# A peer that was dialled in vain no longer takes the place of another; after so many rounds it is given up for a while.
HOPELESS_ROUNDS = 6
GAVE_UP_S = 600.0
MAX_GONE = 1024


@dataclass(slots=True)
class Kept:
    """A peer that is dialled whenever it is not connected."""

    joined: bool = False
    reached_s: float = float("-inf")
    failed_rounds: int = 0

    @property
    def is_promising(self) -> bool:
        """True until all its addresses were dialled in vain."""
        return self.failed_rounds == 0

    @property
    def is_hopeless(self) -> bool:
        """True after many rounds in vain."""
        return self.failed_rounds >= HOPELESS_ROUNDS


class Gone:
    """Peers that were given up, each until some time; the latest ``MAX_GONE``."""

    def __init__(self) -> None:
        self._until_s: OrderedDict[str, float] = OrderedDict()

    def note(self, peer_id: str, until_s: float) -> None:
        """Pass this peer over until then."""
        self._until_s[peer_id] = until_s
        self._until_s.move_to_end(peer_id)
        while len(self._until_s) > MAX_GONE:
            self._until_s.popitem(last=False)

    def at(self, now_s: float) -> set[str]:
        """Those to pass over now."""
        return {peer_id for peer_id, until_s in self._until_s.items() if now_s < until_s}


@dataclass(frozen=True, slots=True)
class Picture:
    """What a choice is made from. ``known``: reached in earlier days, best first; ``strangers``: anybody told of."""

    kept: Mapping[str, Kept]
    connected: AbstractSet[str]
    outbound: AbstractSet[str]
    known: Sequence[str]
    strangers: Sequence[str]
    passed_over: AbstractSet[str]


def recruits(picture: Picture, rng: random.Random) -> list[str]:
    """The peers to keep from now on, besides those kept already."""
    busy = {peer for peer, kept in picture.kept.items() if peer in picture.connected or kept.is_promising}
    ours = (busy - picture.connected) | picture.outbound
    places = MAX_KEPT - len(picture.kept)
    chosen: list[str] = []

    def choose(among: Sequence[str], number: int) -> None:
        free = [peer for peer in among if peer not in picture.kept and peer not in chosen]
        chosen.extend([peer for peer in free if peer not in picture.passed_over][: max(number, 0)])

    trusted = {peer for peer in ours if peer in picture.known or (peer in picture.kept and picture.kept[peer].joined)}
    if len(trusted) < MIN_TRUSTED:
        choose([peer for peer in picture.known if peer not in picture.connected], MIN_TRUSTED - len(trusted))
    room = MAX_CONNECTED - max(len(busy), len(picture.connected)) - len(chosen)
    lacking = MIN_OUTBOUND - len(ours) - len(chosen)
    if room > 0 or lacking > 0:
        strangers = sorted(set(picture.strangers))
        rng.shuffle(strangers)
        choose([peer for peer in strangers if peer not in picture.connected], lacking)
        # Those who dialled us are dialled in turn when they are lost.
        choose(strangers, room - max(lacking, 0))
    return chosen[: max(places, 0)]
