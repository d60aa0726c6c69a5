"""Well-formed values to start from, with fixed keys: what tests then bend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from peernode.chat.request import ChatRequest, Message
from peernode.chat.sampling import Sampling
from peernode.wire.acknowledgement import Acknowledgement, offer_digest
from peernode.wire.advert import Advert, ModelCard
from peernode.wire.countersignature import Countersignature, SignedCountersignature, sign_countersignature
from peernode.wire.identity import Identity
from peernode.wire.offer import Offer, sign_offer
from peernode.wire.prices import Prices
from peernode.wire.receipt import NO_PREVIOUS, Receipt, SignedReceipt, ids_digest, sign_receipt, text_digest
from peernode.wire.settlement_note import SettlementNote

PROVIDER = Identity.from_seed(b"p" * 32)
COORDINATOR = Identity.from_seed(b"c" * 32)
STRANGER = Identity.from_seed(b"s" * 32)

IDS = (11, 22, 33)
TEXT = "three tokens"
PRICES = Prices(prompt=100_000, cached=25_000, completion=400_000)
REQUEST = ChatRequest((Message("user", "hello"),), max_tokens=16, stop=("END",), sampling=Sampling.of(temperature=0.8))
CARD = ModelCard(
    id="tiny",
    digest=b"m" * 32,
    architecture="llama",
    parameters=135_000_000,
    quantization="Q4_1",
    context_length=2048,
    features=("chat",),
    price_prompt=PRICES.prompt,
    price_cached=PRICES.cached,
    price_completion=PRICES.completion,
    decode_tps=50,
    prefill_tps=400,
)


def offer(**changes: Any) -> Offer:
    made = Offer(
        network="test",
        request_id="req_01JD0000000000000000000000",
        part=0,
        coordinator=COORDINATOR.peer_id,
        provider=PROVIDER.peer_id,
        model_digest=CARD.digest,
        request=REQUEST.to_fields(),
        seed=42,
        max_credits=10_000,
        prices=PRICES,
        deadline_ms=60_000,
    )
    return replace(made, **changes)


def acknowledgement(**changes: Any) -> Acknowledgement:
    made = Acknowledgement(
        network="test",
        request_id="req_01JD0000000000000000000000",
        part=0,
        coordinator=COORDINATOR.peer_id,
        provider=PROVIDER.peer_id,
        offer_digest=offer_digest(sign_offer(offer(), COORDINATOR)),
        prompt_tokens=30,
        cached_tokens=10,
        tokens=len(IDS),
        ids_digest=ids_digest(IDS),
        text_digest=text_digest(TEXT),
        at_ms=1_300,
    )
    return replace(made, **changes)


def receipt(**changes: Any) -> Receipt:
    made = Receipt(
        network="test",
        request_id="req_01JD0000000000000000000000",
        part=0,
        coordinator=COORDINATOR.peer_id,
        provider=PROVIDER.peer_id,
        model_id=CARD.id,
        model_digest=CARD.digest,
        quantization=CARD.quantization,
        template_digest=b"t" * 32,
        sampler_version="gumbel/1",
        sampler_digest=REQUEST.sampling.digest,
        seed=42,
        request_digest=REQUEST.digest,
        transformed=False,
        prompt_tokens=30,
        cached_tokens=10,
        completion_tokens=len(IDS),
        output_ids_digest=ids_digest(IDS),
        text_digest=text_digest(TEXT),
        finish_reason="stop",
        prices=PRICES,
        credits=PRICES.amount(prompt_tokens=30, cached_tokens=10, completion_tokens=len(IDS)),
        accepted_ms=1_000,
        first_token_ms=1_100,
        finished_ms=1_500,
        seq=1,
        previous=NO_PREVIOUS,
    )
    return replace(made, **changes)


def signed_receipt(**changes: Any) -> SignedReceipt:
    return sign_receipt(receipt(**changes), PROVIDER)


def countersigned(signed: SignedReceipt, *, cumulative: int | None = None, **changes: Any) -> SignedCountersignature:
    terms = signed.receipt
    total = terms.credits if cumulative is None else cumulative
    body = Countersignature(terms.network, terms.coordinator, terms.provider, signed.digest, total, 2_000)
    return sign_countersignature(replace(body, **changes), COORDINATOR)


def advert(**changes: Any) -> Advert:
    made = Advert(
        network="test",
        peer=PROVIDER.peer_id,
        seq=1,
        issued_ms=1_000,
        lease_ms=15_000,
        addresses=("/ip4/127.0.0.1/tcp/4701/p2p/" + PROVIDER.peer_id,),
        version="0.1.0",
        slots=8,
        free_slots=8,
        queued=0,
        models=(CARD,),
    )
    return replace(made, **changes)


def settlement_note(**changes: Any) -> SettlementNote:
    made = SettlementNote("test", PROVIDER.peer_id, COORDINATOR.peer_id, 1_500, 500, "invoice 7", 2_000)
    return replace(made, **changes)
