"""The models that this node itself offers: engine and prices, and the card that says so in its advert."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from peernode.chat.events import JobEvent, Usage
from peernode.chat.job import ChatJob
from peernode.engine import EngineLoad, ModelFacts
from peernode.market.auto_price import AutoPrice
from peernode.wire.advert import EMBEDDINGS, LOADABLE, ModelCard
from peernode.wire.prices import Prices


class EngineStream(Protocol):
    """An engine's events; after ``cancel`` a Finished("cancelled") still comes, within one decode step.

    ``prefill`` is what the prompt took, known from the first tokens on at the latest.
    """

    @property
    def prefill(self) -> Usage | None: ...

    def __aiter__(self) -> AsyncIterator[JobEvent]: ...
    async def __anext__(self) -> JobEvent: ...
    def cancel(self) -> None: ...


class ModelEngine(Protocol):
    """What the market asks of an engine; ``facts`` is None until the model was first loaded."""

    facts: ModelFacts | None

    @property
    def takes_jobs(self) -> bool:
        """Whether a job that is opened now runs, perhaps after the model is loaded."""
        ...

    def load(self) -> EngineLoad: ...
    def open(self, job: ChatJob) -> AbstractAsyncContextManager[EngineStream]: ...


@dataclass(frozen=True, slots=True)
class OwnModel:
    """One model of this node and what it asks for it.

    ``promises`` are features that its operator vouches for, ``withheld`` those of the engine that no advert names.
    With ``auto`` the price follows the speed, and ``prices`` are what is asked at the reference speed.
    """

    engine: ModelEngine
    prices: Prices
    promises: tuple[str, ...] = ()
    withheld: frozenset[str] = frozenset()
    auto: AutoPrice | None = None

    def asking(self) -> Prices:
        """What it costs now."""
        if self.auto is None:
            return self.prices
        load = self.engine.load()
        return self.auto.quote(load.decode_tps, load.prefill_tps)

    def honours(self, prices: Prices) -> bool:
        """Whether an offer at ``prices`` is taken."""
        return prices == self.prices if self.auto is None else self.auto.honours(prices)

    @property
    def card(self) -> ModelCard | None:
        """None while the model takes no jobs."""
        facts = self.engine.facts
        if facts is None or not self.engine.takes_jobs:
            return None
        load, prices = self.engine.load(), self.asking()
        cold = (LOADABLE,) if load.load_s else ()
        return ModelCard(
            id=facts.id,
            digest=facts.digest,
            architecture=facts.architecture,
            parameters=facts.parameters,
            quantization=facts.quantization,
            context_length=facts.context_length,
            features=(*(name for name in facts.features if name not in self.withheld), *self.promises, *cold),
            price_prompt=prices.prompt,
            price_cached=prices.cached,
            price_completion=prices.completion,
            decode_tps=round(load.decode_tps),
            prefill_tps=round(load.prefill_tps),
        )


class OwnModels:
    """All of them, by name and by digest; the same for adverts, for the coordinator and for the provider."""

    def __init__(self, models: Sequence[OwnModel]) -> None:
        self._models = tuple(models)

    def cards(self) -> tuple[ModelCard, ...]:
        """Cards of the models that can answer now."""
        return tuple(card for model in self._models if (card := model.card) is not None)

    def __iter__(self) -> Iterator[OwnModel]:
        return iter(self._models)

    def by_id(self, model_id: str) -> OwnModel | None:
        return next((model for model in self._models if (card := model.card) and card.id == model_id), None)

    def by_digest(self, digest: bytes, *, embeds: bool = False) -> OwnModel | None:
        """One file may serve twice, to chat and to make embeddings."""
        for model in self._models:
            card = model.card
            if card and card.digest == digest and (EMBEDDINGS in card.features) == embeds:
                return model
        return None

    def loads(self) -> tuple[EngineLoad, ...]:
        return tuple(model.engine.load() for model in self._models if model.engine.takes_jobs)
