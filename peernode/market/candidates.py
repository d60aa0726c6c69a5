"""Who offers which model right now: live adverts of peers and this node's own engines, as one view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from peernode.market.models import OwnModels
from peernode.market.routing import Candidate
from peernode.mesh import Directory
from peernode.wire.advert import ModelCard


@dataclass(frozen=True, slots=True)
class Offering:
    """One model id and everybody who offers it; at least one card."""

    model_id: str
    cards: tuple[ModelCard, ...]
    peers: tuple[str, ...]


class Candidates:
    """Joins the directory with the node's own models; counts this node's own jobs in flight per peer."""

    def __init__(self, *, peer_id: str, directory: Directory, own: OwnModels, accepting: Callable[[], bool]) -> None:
        self._peer_id = peer_id
        self._directory = directory
        self._own = own
        self._accepting = accepting
        self.in_flight: Counter[str] = Counter()

    def for_model(self, model_id: str) -> list[Candidate]:
        """Everybody who offers ``model_id`` now; this node's own engine among them."""
        found = [
            Candidate(
                peer=peer,
                card=card,
                slots=signed.advert.slots,
                free_slots=signed.advert.free_slots,
                queued=signed.advert.queued,
                in_flight=self.in_flight[peer],
            )
            for peer, signed in self._directory.snapshot().adverts.items()
            if peer != self._peer_id
            for card in signed.advert.models
            if card.id == model_id
        ]
        own = self._own.by_id(model_id) if self._accepting() else None
        if own is not None and (card := own.card) is not None:
            load = own.engine.load()
            found.append(
                Candidate(
                    self._peer_id, card, load.slots, load.free_slots, load.queued, self.in_flight[self._peer_id], True
                )
            )
        return found

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

    def ever_seen(self, model_id: str) -> bool:
        """Whether somebody offered it since this node started; tells 'nobody now' from 'never heard of'."""
        return self._directory.ever_seen_model(model_id) or self._own.by_id(model_id) is not None
