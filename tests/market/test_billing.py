"""Every field of a receipt is held against the job that the coordinator knows."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.errors import ReceiptRefused
from peernode.market.billing import Delivered, check_receipt, most_credits
from peernode.wire.prices import Prices
from peernode.wire.receipt import Receipt, ids_digest, text_digest
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


def test_a_receipt_of_a_shortened_request_says_so() -> None:
    shortened = offer(max_credits=10_000, transformed=True)
    check_receipt(replace(receipt(), transformed=True), shortened, REQUEST, CARD, GOT)
    with pytest.raises(ReceiptRefused, match="does not match") as refused:
        check_receipt(receipt(), shortened, REQUEST, CARD, GOT)
    assert "transformed" in refused.value.cause


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


def test_embeddings_are_billed_by_their_prompt_alone() -> None:
    inputs = EmbeddingRequest(("one text", "another"))
    card = replace(CARD, features=("embeddings",))
    most = most_credits(card, inputs)
    assert most == -(-2 * card.context_length * card.price_prompt // 10**6)
    asked = replace(offer(), request=inputs.to_fields(), max_credits=most)
    prompt = card.context_length + 5  # more than one input may have, less than both
    made = replace(
        receipt(),
        request_digest=inputs.digest,
        sampler_version="embeddings/1 mean",
        sampler_digest=inputs.sampling.digest,
        prompt_tokens=prompt,
        cached_tokens=0,
        completion_tokens=0,
        output_ids_digest=ids_digest(()),
        text_digest=text_digest("AAAA\n"),
        finish_reason="stop",
        credits=-(-prompt * card.price_prompt // 10**6),
        first_token_ms=0,
    )
    got = Delivered((), "AAAA\n", "stop")
    check_receipt(made, asked, inputs, card, got)
    for lie in (
        {"text_digest": text_digest("BBBB\n")},
        {"prompt_tokens": 2 * card.context_length + 1},
        {"credits": made.credits + 1},
        {"completion_tokens": 1},
    ):
        with pytest.raises(ReceiptRefused):
            check_receipt(replace(made, **lie), asked, inputs, card, got)


def test_a_chat_without_an_answer_is_free_whatever_the_receipt_calls_it() -> None:
    made = replace(
        receipt(),
        sampler_version="embeddings/1 mean",
        completion_tokens=0,
        output_ids_digest=ids_digest(()),
        text_digest=text_digest(""),
        finish_reason="stop",
        credits=PRICES.amount(
            prompt_tokens=receipt().prompt_tokens, cached_tokens=0, completion_tokens=0, embedded=True
        ),
    )
    with pytest.raises(ReceiptRefused, match="does not match"):
        check_receipt(made, offer(), REQUEST, CARD, Delivered((), "", "stop"))
