"""What this coordinator knows of its providers from its own jobs: speed, health, load, and who has which prompts.

Owns the counts of jobs in flight and the pure records of ``routing``; whoever runs a job reports here. Forgotten
with the process: adverts and a few jobs are enough to begin again.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from peernode.chat.job import ChatJob
from peernode.chat.wishes import WAIT, Wishes
from peernode.market.credit.repute import NoRepute, ProviderRepute
from peernode.market.routing.affinity import BLOCK_TOKENS, Affinity
from peernode.market.routing.breaker import Breakers
from peernode.market.routing.candidate import Candidate
from peernode.market.routing.demand import demand_of
from peernode.market.routing.load import Loads
from peernode.market.routing.load_pace import LoadPace
from peernode.market.routing.records import Records
from peernode.market.routing.track_record import Sighting
from peernode.wire.advert import LOADABLE, Advert, ModelCard

# Second providers asked beside a late one: so many for each answer, saved up to some (Dean and Barroso, 2013).
HEDGE_SHARE = 0.05
MOST_HEDGES = 10.0
FIRST_HEDGES = 2.0


class Experience:
    """``salt`` keys the hashes of prompts, so that a table of them tells nobody what was asked.

    ``round_trip``: seconds to a connected peer and back, if they are known. ``affine`` off lets prompts go anywhere,
    ``hedges`` off never asks a second provider beside another. ``cold`` (see ``Wishes``) is for clients who do
    not say what they think of models that have to be loaded. ``repute`` remembers who billed falsely.
    """

    def __init__(
        self,
        *,
        rng: random.Random,
        salt: bytes = b"",
        round_trip: Callable[[str], float | None] = lambda peer: None,
        affine: bool = True,
        hedges: bool = True,
        cold: str = WAIT,
        repute: ProviderRepute | None = None,
    ) -> None:
        self.in_flight: Counter[str] = Counter()
        self.prefill_ahead: Counter[str] = Counter()
        self.records = Records()
        self.breakers = Breakers()
        self.affinity = Affinity()
        self.loads = Loads()
        self.loading = LoadPace()
        self.salt = salt
        self.rng = rng
        self._round_trip = round_trip
        self.affine = affine
        self.hedging = hedges
        self._cold = cold
        self.repute: ProviderRepute = repute or NoRepute()
        self._hedges = FIRST_HEDGES

    @staticmethod
    def prompt_tokens(job: ChatJob) -> int:
        """About how many tokens the prompt of a job has, those of earlier parts of its answer included."""
        return demand_of(job.request).prompt_tokens + len(job.continue_from)

    def whole(self, wishes: Wishes) -> Wishes:
        """With what this node does where a client has no wish."""
        return wishes if wishes.cold else replace(wishes, cold=self._cold)

    def sent(self, candidate: Candidate, blocks: Sequence[bytes], prefill: int, now: float) -> None:
        """A job is on its way to this candidate, which probably has to compute ``prefill`` tokens for it."""
        peer = candidate.peer
        self.in_flight[peer] += 1
        self.prefill_ahead[peer] += prefill
        self.breakers.of(peer).sent(now)
        self.affinity.sent(peer, blocks, now)

    def may_hedge(self) -> bool:
        """Whether a second provider may be asked beside the first; takes one of the few that there are."""
        if not self.hedging or self._hedges < 1:
            return False
        self._hedges -= 1
        return True

    def begun(self, candidate: Candidate, prefill: int) -> None:
        """Its first token is here, so its prompt is computed."""
        self._drop(self.prefill_ahead, candidate.peer, prefill)

    def left(self, candidate: Candidate, prefill: int, unread: Sequence[bytes] = ()) -> None:
        """The job is there no more; ``prefill`` tokens were not computed yet, and what is ``unread`` perhaps never."""
        self.affinity.forget(candidate.peer, unread[candidate.hit_tokens // BLOCK_TOKENS :])
        self._drop(self.in_flight, candidate.peer, 1)
        self._drop(self.prefill_ahead, candidate.peer, prefill)
        self.breakers.of(candidate.peer).abandoned()

    def saw(self, candidate: Candidate, seen: Sighting, blocks: Sequence[bytes]) -> None:
        """It answered to the end."""
        peer, digest = candidate.peer, candidate.card.digest
        record = self.records.of(peer, digest)
        if (round_trip_s := self._round_trip(peer)) is not None:
            record.went(round_trip_s)
        record.saw(seen)
        self.records.measured(digest, record)
        self._hedges = min(self._hedges + HEDGE_SHARE, MOST_HEDGES)
        self.breakers.of(peer).succeeded()
        self.affinity.forget(
            peer, blocks[seen.cached_tokens // BLOCK_TOKENS + 1 : candidate.hit_tokens // BLOCK_TOKENS]
        )

    def told(self, candidate: Candidate, wait_s: float, now: float, *, loading: bool = False) -> None:
        """It has said when a job's turn comes there; ``loading``: because the model is not loaded."""
        if loading:
            self.loading.told(candidate.peer, candidate.card.digest, wait_s, now)
        else:
            self.records.of(candidate.peer, candidate.card.digest).told(wait_s, now)

    def loaded(self, candidate: Candidate, seconds: float) -> None:
        """A job waited so long for its model to be loaded."""
        self.loading.took(candidate.peer, candidate.card, seconds)

    def refused(self, candidate: Candidate, now: float, again_s: float = 0.0) -> None:
        """It did not take the job, which is no fault; ``again_s``: when it wants to be asked again."""
        breaker = self.breakers.of(candidate.peer)
        breaker.abandoned()
        if again_s > 0:
            breaker.retry_after(now, again_s)

    def outrun(self, candidate: Candidate, waited_s: float, expected_s: float, now: float) -> None:
        """Another that was asked later answered first: here a first token takes longer than ``waited_s``.

        Once may be chance; whoever is outrun twice without an answer between is left alone like one that failed.
        """
        self.records.of(candidate.peer, candidate.card.digest).outrun(waited_s, expected_s, now)
        self.breakers.of(candidate.peer).failed(now, self.rng)

    def cheated(self, candidate: Candidate, now: float, *, lied: bool) -> None:
        """It failed a job that it took; ``lied``: its receipt is not for what it did, which is enough by itself."""
        self.records.of(candidate.peer, candidate.card.digest).failed(now)
        self.breakers.of(candidate.peer).failed(now, self.rng, at_once=lied)

    @staticmethod
    def _drop(counts: Counter[str], peer: str, amount: int) -> None:
        counts[peer] -= amount
        if counts[peer] <= 0:
            del counts[peer]

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
            shunned=self.breakers.shunned(peer, now) or self.repute.avoided(peer),
            wavered_s=records.wavered_s(peer, card.digest),
            load_s=self.loading.expected_s(peer, card, now) if LOADABLE in card.features else 0.0,
            delay_s=records.delay(peer, card.digest, now),
            ahead=self.loads.of(peer, word, advert.slots - advert.free_slots + advert.queued, mine),
        )
