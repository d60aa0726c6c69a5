"""The models on offer in the whole network, as the edge lists them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peernode.chat.fee_share import NO_FEE, FeeShare
from peernode.edge.services import CatalogModel
from peernode.market.candidates import Candidates, Offering
from peernode.market.routing import VISION
from peernode.market.routing.model_names import META_MODELS, read_model_name
from peernode.wire.advert import EMBEDDINGS
from peernode.wire.prices import Prices

MAX_REMEMBERED = 4096


class NetworkCatalog:
    """Implements the edge's Catalog over live adverts and this node's own engines. ``clock`` gives Unix seconds.

    Prices are those that clients of this node pay, with its ``fee``.
    """

    def __init__(self, candidates: Candidates, *, clock: Callable[[], float], fee: FeeShare = NO_FEE) -> None:
        self._fee = fee
        self._candidates = candidates
        self._clock = clock
        self._first_seen_s: dict[str, int] = {}

    def models(self) -> Sequence[CatalogModel]:
        return [self._entry(offering) for offering in self._candidates.offerings()]

    def find(self, model_id: str) -> CatalogModel | None:
        """A model, or what a name like ``auto`` or ``NAME:floor`` stands for now: whatever could be chosen by it."""
        offerings = self._candidates.offerings()
        if model_id in META_MODELS:
            found = [_that_chat(offering) for offering in offerings]
        else:
            name = read_model_name(model_id).id
            found = [offering for offering in offerings if offering.model_id == name]
        cards = tuple(card for offering in found for card in offering.cards)
        peers = tuple(peer for offering in found for peer in offering.peers)
        return self._entry(Offering(model_id, cards, peers)) if cards else None

    def _entry(self, offering: Offering) -> CatalogModel:
        cards = offering.cards
        cheapest = min(cards, key=lambda card: (card.price_completion, card.price_prompt, card.price_cached))
        if len(self._first_seen_s) >= MAX_REMEMBERED:
            self._first_seen_s.clear()  # only the "created" time of a list entry
        return CatalogModel(
            id=offering.model_id,
            digests=tuple(sorted({card.digest for card in cards})),
            quantizations=tuple(sorted({card.quantization for card in cards})),
            context_length=max(card.context_length for card in cards),
            parameters=max(card.parameters for card in cards),
            architecture=cards[0].architecture,
            nodes_available=len(set(offering.peers)),
            prices=self._fee.on_prices(Prices(cheapest.price_prompt, cheapest.price_cached, cheapest.price_completion)),
            sees=any(VISION in card.features for card in cards),
            first_seen_s=self._first_seen_s.setdefault(offering.model_id, int(self._clock())),
        )


def _that_chat(offering: Offering) -> Offering:
    both = zip(offering.cards, offering.peers, strict=True)
    chatting = [(card, peer) for card, peer in both if EMBEDDINGS not in card.features]
    return Offering(offering.model_id, tuple(card for card, _ in chatting), tuple(peer for _, peer in chatting))
