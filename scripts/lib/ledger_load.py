"""Receipts and countersignatures for the ledger's benchmark and its crash test: two nodes with keys of their own."""

from __future__ import annotations

from collections.abc import Callable

from peernode.ledger.events import client
from peernode.wire.countersignature import Countersignature, SignedCountersignature, sign_countersignature
from peernode.wire.identity import Identity
from peernode.wire.prices import Prices
from peernode.wire.receipt import Receipt, SignedReceipt, sign_receipt

PROVIDER, COORDINATOR = Identity.from_seed(b"p" * 32), Identity.from_seed(b"c" * 32)
CLIENT = client("anne")
PRICES = Prices(prompt=100_000, cached=25_000, completion=400_000)


def receipt_builder(number: int) -> Callable[[int, bytes], SignedReceipt]:
    """The receipt of request ``number``, of the size and price of a usual one."""

    def build(seq: int, previous: bytes) -> SignedReceipt:
        receipt = Receipt(
            network="main",
            request_id=f"req_{number:026d}",
            part=0,
            coordinator=COORDINATOR.peer_id,
            provider=PROVIDER.peer_id,
            model_id="smollm2-135m-instruct",
            model_digest=b"m" * 32,
            quantization="Q4_1",
            template_digest=b"t" * 32,
            sampler_version="gumbel/1",
            sampler_digest=b"s" * 32,
            seed=number,
            request_digest=b"r" * 32,
            transformed=False,
            prompt_tokens=600,
            cached_tokens=200,
            completion_tokens=128,
            output_ids_digest=b"i" * 32,
            text_digest=b"x" * 32,
            finish_reason="stop",
            prices=PRICES,
            credits=PRICES.amount(prompt_tokens=600, cached_tokens=200, completion_tokens=128),
            accepted_ms=1_700_000_000_000,
            first_token_ms=1_700_000_000_100,
            finished_ms=1_700_000_002_000,
            seq=seq,
            previous=previous,
        )
        return sign_receipt(receipt, PROVIDER)

    return build


def countersigner(signed: SignedReceipt) -> Callable[[int], SignedCountersignature]:
    """What signs the new total for that receipt."""

    def build(total: int) -> SignedCountersignature:
        body = Countersignature("main", COORDINATOR.peer_id, PROVIDER.peer_id, signed.digest, total, 1_700_000_002_100)
        return sign_countersignature(body, COORDINATOR)

    return build
