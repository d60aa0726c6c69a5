"""What of an order must outlive a crash: enough to make its receipt, or to check one, and nothing of what was asked.

Pure. Prompts stay out of it on purpose: a digest is enough, and the ledger's file is no place for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.job_request import JobRequest
from peernode.engine import ModelFacts
from peernode.market.billing import longest_answer, most_prompt_tokens
from peernode.wire import canonical
from peernode.wire.acknowledgement import Acknowledgement
from peernode.wire.advert import ModelCard
from peernode.wire.canonical import Value
from peernode.wire.fields import FieldReader
from peernode.wire.offer import Offer
from peernode.wire.prices import Prices


@dataclass(frozen=True, slots=True)
class Terms:
    """``template_digest`` and ``sampler_version`` are known to the provider alone, and empty at the coordinator.

    ``max_tokens`` and ``max_prompt`` bound what may be billed; ``accepted_ms`` is on this node's clock. ``embeds`` is a
    request for embeddings, whose answer has no tokens.
    """

    network: str
    request_id: str
    part: int
    coordinator: str
    provider: str
    model_id: str
    model_digest: bytes
    quantization: str
    template_digest: bytes
    sampler_version: str
    sampler_digest: bytes
    seed: int
    request_digest: bytes
    transformed: bool
    offer_digest: bytes
    prices: Prices
    max_credits: int
    max_tokens: int
    max_prompt: int
    accepted_ms: int
    embeds: bool

    @classmethod
    def ordered(
        cls, offer: Offer, request: JobRequest, card: ModelCard, *, offer_digest: bytes, accepted_ms: int
    ) -> Terms:
        """Of an order that this node gave, as its coordinator."""
        return cls(
            **_of_both(offer, request),
            model_id=card.id,
            quantization=card.quantization,
            template_digest=b"",
            sampler_version="",
            offer_digest=offer_digest,
            max_tokens=longest_answer(request, card.context_length),
            max_prompt=most_prompt_tokens(card, request),
            accepted_ms=accepted_ms,
        )

    @classmethod
    def provided(
        cls, offer: Offer, request: JobRequest, facts: ModelFacts, *, offer_digest: bytes, accepted_ms: int
    ) -> Terms:
        """Of an order that this node took, as its provider."""
        return cls(
            **_of_both(offer, request),
            model_id=facts.id,
            quantization=facts.quantization,
            template_digest=facts.template_digest,
            sampler_version=facts.sampler_version,
            offer_digest=offer_digest,
            max_tokens=longest_answer(request, facts.context_length),
            max_prompt=facts.context_length,
            accepted_ms=accepted_ms,
        )

    def owed(self, *, prompt_tokens: int, cached_tokens: int, tokens: int, whole: bool = False) -> int:
        """Micro-credits for so much of a part; embeddings are worth something only when they are ``whole``."""
        return self.prices.amount(
            prompt_tokens=prompt_tokens,
            cached_tokens=cached_tokens,
            completion_tokens=tokens,
            embedded=self.embeds and whole,
        )

    def is_of(self, word: Acknowledgement) -> bool:
        """Whether ``word`` is about this very order."""
        about = (word.network, word.request_id, word.part, word.coordinator, word.provider, word.offer_digest)
        return about == (
            self.network, self.request_id, self.part, self.coordinator, self.provider, self.offer_digest
        )  # fmt: skip

    def to_bytes(self) -> bytes:
        fields: list[Value] = [getattr(self, name) for name in _PLAIN]
        return canonical.encode([*fields, self.prices.to_fields()])

    @classmethod
    def from_bytes(cls, raw: bytes) -> Terms:
        """Raises a WireError for what ``to_bytes`` did not make."""
        read = FieldReader("terms", canonical.decode(raw))
        terms = cls(
            network=read.text("network"),
            request_id=read.text("request_id"),
            part=read.integer("part"),
            coordinator=read.text("coordinator"),
            provider=read.text("provider"),
            model_id=read.text("model_id"),
            model_digest=read.octets("model_digest", exactly=32),
            quantization=read.text("quantization"),
            template_digest=read.octets("template_digest", most=32),
            sampler_version=read.text("sampler_version"),
            sampler_digest=read.octets("sampler_digest", exactly=32),
            seed=read.integer("seed"),
            request_digest=read.octets("request_digest", exactly=32),
            transformed=read.boolean("transformed"),
            offer_digest=read.octets("offer_digest", exactly=32),
            max_credits=read.integer("max_credits"),
            max_tokens=read.integer("max_tokens"),
            max_prompt=read.integer("max_prompt"),
            accepted_ms=read.integer("accepted_ms"),
            embeds=read.boolean("embeds"),
            prices=Prices.from_fields(read.nested("prices")),
        )
        read.done()
        return terms


_PLAIN = tuple(name for name in Terms.__dataclass_fields__ if name != "prices")


def _of_both(offer: Offer, request: JobRequest) -> dict[str, Any]:
    """What both sides know alike."""
    return {
        "network": offer.network,
        "request_id": offer.request_id,
        "part": offer.part,
        "coordinator": offer.coordinator,
        "provider": offer.provider,
        "model_digest": offer.model_digest,
        "sampler_digest": request.sampling.digest,
        "seed": offer.seed,
        "request_digest": request.digest,
        "transformed": offer.transformed,
        "prices": offer.prices,
        "max_credits": offer.max_credits,
        "embeds": isinstance(request, EmbeddingRequest),
    }
