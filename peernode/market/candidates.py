"""Who offers which model right now: live adverts of peers and this node's own engines, as one view."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from peernode.chat.job_request import JobRequest
from peernode.market.experience import Experience
from peernode.market.models import OwnModels
from peernode.market.routing.affinity import BLOCK_TOKENS, blocks_of
from peernode.market.routing.candidate import Candidate
from peernode.mesh import Directory
from peernode.wire.advert import ModelCard


@dataclass(frozen=True, slots=True)
class Offering:
    """One model id and everybody who offers it; at least one card."""

    model_id: str
    cards: tuple[ModelCard, ...]
    peers: tuple[str, ...]


class Candidates:
    """Joins the directory and the node's own models with what ``experience`` knows of each peer."""

    def __init__(
        self,
        *,
        peer_id: str,
        directory: Directory,
        own: OwnModels,
        accepting: Callable[[], bool],
        experience: Experience,
    ) -> None:
        self.experience = experience
        self._peer_id = peer_id
        self._directory = directory
        self._own = own
        self._accepting = accepting

    def for_model(self, model_id: str, request: JobRequest | None = None, *, now: float = 0.0) -> list[Candidate]:
        """Everybody who offers ``model_id`` now, this node's own engine among them; any model if it is empty.

        ``request`` tells whose cache may hold its beginning; ``now`` is on the clock of the jobs' own times.
        """
        experience, hits = self.experience, _Hits(self.experience, request, now)
        found = [
            experience.candidate(signed.advert, card, word=signed.advert.seq, now=now, hits=hits.of(peer, card))
            for peer, signed in self._directory.snapshot().adverts.items()
            if peer != self._peer_id
            for card in signed.advert.models
            if not model_id or card.id == model_id
        ]
        return found + self._own_candidates(model_id, hits, now)

    def _own_candidates(self, model_id: str, hits: _Hits, now: float) -> list[Candidate]:
        if not self._accepting():
            return []
        peer, experience = self._peer_id, self.experience
        return [
            Candidate(
                peer,
                card,
                load.slots,
                load.free_slots,
                load.queued,
                in_flight=experience.in_flight[peer],
                local=True,
                prefill_ahead=experience.prefill_ahead[peer],
                pace=experience.records.pace(peer, card),
                hit_tokens=hits.of(peer, card),
                shunned=experience.breakers.shunned(peer, now),
                wavered_s=experience.records.wavered_s(peer, card.digest),
                load_s=load.load_s,
            )
            for model in self._own
            if (card := model.card) is not None and (not model_id or card.id == model_id)
            for load in (model.engine.load(),)
        ]

    def offerings(self) -> Sequence[Offering]:
        """All models on offer now, by id."""
        cards: dict[str, list[tuple[str, ModelCard]]] = {}
        for peer, signed in self._directory.snapshot().adverts.items():
            if peer != self._peer_id:
                for card in signed.advert.models:
                    cards.setdefault(card.id, []).append((peer, card))
        for card in self._own.cards():
            cards.setdefault(card.id, []).append((self._peer_id, card))
        return [
            Offering(model_id, tuple(card for _, card in held), tuple(peer for peer, _ in held))
            for model_id, held in sorted(cards.items())
        ]

    def peers(self) -> frozenset[str]:
        """Everybody who offers something now."""
        offering = {peer for peer, signed in self._directory.snapshot().adverts.items() if signed.advert.models}
        return frozenset(offering | {self._peer_id} if self._own.cards() else offering)

    def ever_seen(self, model_id: str) -> bool:
        """Whether somebody offered it since this node started; tells 'nobody now' from 'never heard of'."""
        return self._directory.ever_seen_model(model_id) or self._own.by_id(model_id) is not None


class _Hits:
    """Prompt tokens that are probably in each peer's cache, worked out once for each model."""

    def __init__(self, experience: Experience, request: JobRequest | None, now: float) -> None:
        self._experience = experience
        self._request = request
        self._now = now
        self._by_digest: dict[bytes, Mapping[str, int]] = {}

    def of(self, peer: str, card: ModelCard) -> int:
        if self._request is None or not self._experience.affine:
            return 0
        found = self._by_digest.get(card.digest)
        if found is None:
            blocks = blocks_of(self._request, card.digest, salt=self._experience.salt)
            found = self._by_digest[card.digest] = self._experience.affinity.hits(blocks, self._now)
        return found.get(peer, 0) * BLOCK_TOKENS
