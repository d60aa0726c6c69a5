"""What the test vectors are about: fixed keys, and well-formed values that use every field."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.message import Image, Message, ToolCall
from peernode.chat.output_format import OutputFormat
from peernode.chat.request import ChatRequest
from peernode.chat.sampling import Sampling
from peernode.chat.tools import Tool
from peernode.wire import canonical
from peernode.wire.acknowledgement import Acknowledgement, offer_digest, sign_acknowledgement
from peernode.wire.advert import Advert, ModelCard, sign_advert
from peernode.wire.countersignature import Countersignature, sign_countersignature
from peernode.wire.identity import Identity
from peernode.wire.offer import Offer, sign_offer
from peernode.wire.prices import Prices
from peernode.wire.receipt import NO_PREVIOUS, Receipt, SignedReceipt, ids_digest, sign_receipt, text_digest
from peernode.wire.renewal import Renewal, sign_renewal
from peernode.wire.settlement_note import SettlementNote, sign_settlement_note

NETWORK: Final = "vectors"
NOW_MS: Final = 1_767_225_600_000
PROVIDER: Final = Identity.from_seed(bytes(range(32)))
COORDINATOR: Final = Identity.from_seed(bytes(range(32, 64)))
STRANGER: Final = Identity.from_seed(bytes(range(64, 96)))

CARD: Final = ModelCard(
    id="tiny-model.Q4_1",
    digest=bytes(range(0xE0, 0x100)),
    architecture="llama",
    parameters=134_515_008,
    quantization="Q4_1",
    context_length=2048,
    features=("vision",),
    price_prompt=100_000,
    price_cached=25_000,
    price_completion=400_000,
    decode_tps=87,
    prefill_tps=1200,
)
PRICES: Final = Prices(CARD.price_prompt, CARD.price_cached, CARD.price_completion)
IDS: Final = (31, 7000, 70_000, 2_147_483_647)
TEXT: Final = "Grüße, 世界 🌍"

ADVERT: Final = Advert(
    network=NETWORK,
    peer=PROVIDER.peer_id,
    seq=NOW_MS,
    issued_ms=NOW_MS,
    lease_ms=15_000,
    addresses=(
        f"/ip4/203.0.113.7/tcp/4001/p2p/{PROVIDER.peer_id}",
        f"/ip6/2001:db8::7/tcp/4001/p2p/{PROVIDER.peer_id}",
    ),
    version="0.1.0",
    slots=8,
    free_slots=7,
    queued=0,
    models=(CARD,),
)
DEPARTURE: Final = replace(ADVERT, seq=NOW_MS + 5000, issued_ms=NOW_MS + 5000, lease_ms=0, models=())

PLAIN_REQUEST: Final = ChatRequest((Message("user", "Say hello."),), max_tokens=16)
FULL_REQUEST: Final = ChatRequest(
    messages=(
        Message("system", "Be brief."),
        Message("user", "What is in this picture? 🌍", name="ann", images=(Image(8, b"\x89PNG"),)),
        Message("assistant", "", tool_calls=(ToolCall("call_1", "look", '{"closely":true}'),)),
        Message("tool", "a cat", tool_call_id="call_1"),
    ),
    max_tokens=1024,
    stop=("END",),
    sampling=Sampling.of(
        temperature=0.8, top_p=0.95, top_k=40, presence_penalty=-0.5, logit_bias={5: 1.5, 70_000: -100}
    ),
    top_logprobs=3,
    format=OutputFormat("json_schema", '{"type":"object"}'),
    tools=(Tool("look", "Looks.", '{"type":"object","properties":{"closely":{"type":"boolean"}}}'),),
    tool_choice="auto",
    parallel_tool_calls=False,
    reasoning="off",
)
EMBEDDING_REQUEST: Final = EmbeddingRequest(("a text", (1, 2, 3)))

OFFER: Final = Offer(
    network=NETWORK,
    request_id="req_01JGFJJZ00SMR3C1WQ5D0T8XKV",
    part=1,
    coordinator=COORDINATOR.peer_id,
    provider=PROVIDER.peer_id,
    model_digest=CARD.digest,
    request=FULL_REQUEST.to_fields(),
    seed=(1 << 63) - 1,
    max_credits=1024,
    prices=PRICES,
    deadline_ms=600_000,
    continue_from=(11, 22, 33),
    transformed=True,
)
RECEIPT: Final = Receipt(
    network=NETWORK,
    request_id=OFFER.request_id,
    part=OFFER.part,
    coordinator=COORDINATOR.peer_id,
    provider=PROVIDER.peer_id,
    model_id=CARD.id,
    model_digest=CARD.digest,
    quantization=CARD.quantization,
    template_digest=canonical.digest(b"{{ messages }}"),
    sampler_version="gumbel/2",
    sampler_digest=FULL_REQUEST.sampling.digest,
    seed=OFFER.seed,
    request_digest=FULL_REQUEST.digest,
    transformed=True,
    prompt_tokens=130,
    cached_tokens=100,
    completion_tokens=len(IDS),
    output_ids_digest=ids_digest(IDS),
    text_digest=text_digest(TEXT),
    finish_reason="stop",
    prices=PRICES,
    credits=PRICES.amount(prompt_tokens=130, cached_tokens=100, completion_tokens=len(IDS)),
    accepted_ms=NOW_MS + 1000,
    first_token_ms=NOW_MS + 1100,
    finished_ms=NOW_MS + 1500,
    seq=1,
    previous=NO_PREVIOUS,
)


def renewal() -> bytes:
    """Of ADVERT, at half its slots."""
    digest = sign_advert(ADVERT, PROVIDER).digest
    body = Renewal(NETWORK, PROVIDER.peer_id, NOW_MS + 4000, NOW_MS + 4000, 15_000, 4, 2, digest)
    return sign_renewal(body, PROVIDER).raw


def signed_receipt() -> SignedReceipt:
    return sign_receipt(RECEIPT, PROVIDER)


def acknowledgement() -> bytes:
    body = Acknowledgement(
        network=NETWORK,
        request_id=OFFER.request_id,
        part=OFFER.part,
        coordinator=COORDINATOR.peer_id,
        provider=PROVIDER.peer_id,
        offer_digest=offer_digest(sign_offer(OFFER, COORDINATOR)),
        prompt_tokens=RECEIPT.prompt_tokens,
        cached_tokens=RECEIPT.cached_tokens,
        tokens=len(IDS),
        ids_digest=ids_digest(IDS),
        text_digest=text_digest(TEXT),
        at_ms=NOW_MS + 1200,
    )
    return sign_acknowledgement(body, COORDINATOR).raw


def countersignature() -> bytes:
    total = 1_000_000 + RECEIPT.credits
    body = Countersignature(
        NETWORK, COORDINATOR.peer_id, PROVIDER.peer_id, signed_receipt().digest, total, NOW_MS + 1600
    )
    return sign_countersignature(body, COORDINATOR).raw


def settlement() -> bytes:
    """The provider's word that its coordinator paid, for the second time."""
    body = SettlementNote(
        NETWORK, PROVIDER.peer_id, COORDINATOR.peer_id, 1_500_000, 500_000, "Überweisung 12/26", NOW_MS + 86_400_000
    )
    return sign_settlement_note(body, PROVIDER).raw
