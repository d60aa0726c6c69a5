"""What this coordinator knows of its providers from its own jobs: speed, health, load, and who has which prompts.

Owns the counts of jobs in flight and the pure records of ``routing``; whoever runs a job reports here. Forgotten
with the process: adverts and a few jobs are enough to begin again.
"""

from __future__ import annotations

import random
from collections import Counter

from peernode.market.routing.affinity import Affinity
from peernode.market.routing.breaker import Breakers
from peernode.market.routing.candidate import Candidate
from peernode.market.routing.load import Loads
from peernode.market.routing.records import Records
from peernode.wire.advert import Advert, ModelCard


class Experience:
    """``salt`` keys the hashes of prompts, so that a table of them tells nobody what was asked."""

    def __init__(self, *, rng: random.Random, salt: bytes = b"") -> None:
        self.in_flight: Counter[str] = Counter()
        self.prefill_ahead: Counter[str] = Counter()
        self.records = Records()
        self.breakers = Breakers()
        self.affinity = Affinity()
        self.loads = Loads()
        self.salt = salt
        self.rng = rng

    def candidate(
        self,
        advert: Advert,
        card: ModelCard,
        *,
        word: int,
        now: float,
        hits: int,
    ) -> Candidate:
        """A peer with one of its models as the router sees it.

        ``word`` is the number of its newest word, ``hits`` are the prompt tokens that its cache probably has.
        """
        peer, records = advert.peer, self.records
        mine = self.in_flight[peer]
        return Candidate(
            peer=peer,
            card=card,
            slots=advert.slots,
            free_slots=advert.free_slots,
            queued=advert.queued,
            in_flight=mine,
            prefill_ahead=self.prefill_ahead[peer],
            pace=records.pace(peer, card),
            hit_tokens=hits,
            shunned=self.breakers.shunned(peer, now),
            wavered_s=records.wavered_s(peer, card.digest),
            delay_s=records.delay(peer, card.digest, now),
            ahead=self.loads.of(peer, word, advert.slots - advert.free_slots + advert.queued, mine),
        )
