"""A simulated coordinator: the product's own leases and experience, fed with words instead of bytes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from peernode.market.experience import Experience
from peernode.mesh.leases import Change, ChangeKind, LeaseTable
from peernode.wire.advert import Advert, SignedAdvert
from peernode.wire.renewal import SignedRenewal


class Coordinator:
    """What one node knows: whose leases run, as far as it has heard, and what it learned from its own jobs.

    ``offers`` are the adverts by model and peer, of all that are live and not suspected.
    """

    def __init__(
        self, number: int, *, rng: random.Random, round_trip: Callable[[str], float | None], most_peers: int
    ) -> None:
        self.number = number
        self.experience = Experience(rng=rng, round_trip=round_trip)
        self.offers: dict[str, dict[str, Advert]] = {}
        self.turns: Counter[str] = Counter()
        self._leases = LeaseTable(max_peers=most_peers)

    @property
    def rng(self) -> random.Random:
        return self.experience.rng

    def hear(self, word: SignedAdvert | SignedRenewal, *, now: float, age_s: float) -> None:
        """Somebody's word about itself, ``age_s`` old."""
        now_ms, age_ms = round(now * 1000), round(age_s * 1000)
        for ended in self._leases.expire(now_ms):
            self._forget(ended.standing.advert)
        if isinstance(word, SignedAdvert):
            change = self._leases.offer(word, now_ms=now_ms, wall_ms=now_ms, age_ms=age_ms)
        else:
            change = self._leases.renew(word, now_ms=now_ms, wall_ms=now_ms, age_ms=age_ms)
        if isinstance(change, Change):
            advert = change.standing.advert
            if change.kind is ChangeKind.DEPARTED:
                self._forget(advert)
            else:
                self.offers.setdefault(advert.models[0].id, {})[advert.peer] = advert

    def suspect(self, advert: Advert) -> None:
        """It could not be reached: not asked again until a newer word of its own."""
        if self._leases.suspect(advert.peer):
            self._forget(advert)

    def offered(self, model: str, peer: str) -> Advert | None:
        return self.offers.get(model, {}).get(peer)

    def _forget(self, advert: Advert) -> None:
        self.offers.get(advert.models[0].id, {}).pop(advert.peer, None)
