"""Every field of a receipt is held against the job that the coordinator knows."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from peernode.chat.errors import ReceiptRefused
from peernode.market.billing import Delivered, check_receipt, most_credits
from peernode.wire.prices import Prices
from peernode.wire.receipt import Receipt, ids_digest
from tests.samples import CARD, IDS, PRICES, REQUEST, STRANGER, TEXT, offer, receipt

GOT = Delivered(IDS, TEXT, "stop")

# Not the coordinator's to judge: it does not know the provider's template, its clock or its chain of receipts.
ITS_OWN = {"template_digest", "sampler_version", "seq", "previous"}
CHANGES: dict[str, object] = {
    "network": "other",
    "request_id": "req_other",
    "part": 1,
    "coordinator": STRANGER.peer_id,
    "provider": STRANGER.peer_id,
    "model_id": "bigger",
    "model_digest": b"x" * 32,
    "quantization": "F16",
    "sampler_digest": b"x" * 32,
    "seed": 43,
    "request_digest": b"x" * 32,
    "transformed": True,
    "prompt_tokens": 300,
    "cached_tokens": 30,
    "completion_tokens": 4,
    "output_ids_digest": b"x" * 32,
    "text_digest": b"x" * 32,
    "finish_reason": "length",
    "prices": Prices(1, 1, 1),
    "credits": receipt().credits + 1,
    "accepted_ms": 9_999,
    "first_token_ms": 900,
    "finished_ms": 1_050,
}


def check(given: Receipt, got: Delivered = GOT, most: int = 10_000) -> None:
    check_receipt(given, offer(max_credits=most), REQUEST, CARD, got)


def test_a_receipt_for_the_job_passes() -> None:
    check(receipt())


def test_every_field_is_either_changed_here_or_the_providers_own() -> None:
    assert CHANGES.keys() | ITS_OWN == {field.name for field in fields(Receipt)}


@pytest.mark.parametrize("name", CHANGES)
def test_a_receipt_that_differs_in_one_field_is_refused(name: str) -> None:
    with pytest.raises(ReceiptRefused) as refused:
        check(replace(receipt(), **{name: CHANGES[name]}))
    assert refused.value.cause


def test_tokens_that_never_came_are_not_paid() -> None:
    padded = replace(receipt(), completion_tokens=4, output_ids_digest=ids_digest((*IDS, 44)))
    padded = replace(padded, credits=PRICES.amount(prompt_tokens=30, cached_tokens=10, completion_tokens=4))
    with pytest.raises(ReceiptRefused, match="completion tokens"):
        check(padded)


def test_more_than_was_agreed_is_not_paid() -> None:
    with pytest.raises(ReceiptRefused, match="credit limit"):
        check(receipt(), most=receipt().credits - 1)


def test_more_cached_than_prompt_tokens_is_refused() -> None:
    with pytest.raises(ReceiptRefused):
        check(replace(receipt(), prompt_tokens=5, cached_tokens=6))


def test_an_empty_answer_costs_nothing() -> None:
    assert PRICES.amount(prompt_tokens=1000, cached_tokens=0, completion_tokens=0) == 0
    empty = replace(receipt(), completion_tokens=0, output_ids_digest=ids_digest(()), credits=0, first_token_ms=0)
    check(empty, Delivered((), TEXT, "stop"))


def test_the_limit_of_an_order_covers_its_dearest_outcome() -> None:
    dearest = PRICES.amount(prompt_tokens=CARD.context_length, cached_tokens=0, completion_tokens=16)
    assert most_credits(CARD, REQUEST) >= dearest
