"""What a coordinator holds a receipt against: the job that *it* knows. Pure.

A check that fails raises ReceiptRefused with the check's name; nothing is owed for a receipt that is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.chat.embedding_request import EmbeddingRequest
from peernode.chat.errors import ReceiptRefused
from peernode.chat.job_request import JobRequest
from peernode.wire.advert import ModelCard
from peernode.wire.offer import Offer
from peernode.wire.receipt import FINISH_REASONS, Receipt, ids_digest, is_embedded, text_digest


@dataclass(frozen=True, slots=True)
class Delivered:
    """What really arrived: token ids, text, and what the provider said when it finished."""

    ids: tuple[int, ...]
    text: str
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Check:
    """One named comparison, its outcome, and what was compared."""

    name: str
    passed: bool
    detail: str = ""


def most_credits(card: ModelCard, request: JobRequest) -> int:
    """The most a job can cost: a full context of prompt, and the completion that was asked for, or a full context."""
    completion = longest_answer(request, card.context_length)
    prompt = most_prompt_tokens(card, request)
    if isinstance(request, EmbeddingRequest):
        completion = 0
    return -(-(prompt * max(card.price_prompt, card.price_cached) + completion * card.price_completion) // 10**6)


def longest_answer(request: JobRequest, context_length: int) -> int:
    """Tokens: what was asked for, or a full context."""
    return min(request.max_tokens or context_length, context_length)


def most_prompt_tokens(card: ModelCard, request: JobRequest) -> int:
    """A full context, for each input where there are several."""
    return card.context_length * (len(request.inputs) if isinstance(request, EmbeddingRequest) else 1)


def check_receipt(receipt: Receipt, offer: Offer, request: JobRequest, card: ModelCard, got: Delivered) -> None:
    """Raises ReceiptRefused naming the first check that failed."""
    for check in receipt_checks(receipt, offer, request, card, got):
        if not check.passed:
            raise ReceiptRefused(
                "The provider's receipt does not match the job.", cause=f"{check.name}: {check.detail or 'differs'}"
            )


def receipt_checks(receipt: Receipt, offer: Offer, request: JobRequest, card: ModelCard, got: Delivered) -> list[Check]:
    """Every field of a receipt against the offer it answers, the advert it came from and the stream that was seen."""
    metered = (
        offer.prices.amount(
            prompt_tokens=receipt.prompt_tokens,
            cached_tokens=receipt.cached_tokens,
            completion_tokens=receipt.completion_tokens,
            embedded=isinstance(request, EmbeddingRequest)
            and is_embedded(receipt.sampler_version, receipt.finish_reason),
        )
        if receipt.cached_tokens <= receipt.prompt_tokens
        else -1
    )
    limit = request.max_tokens or card.context_length
    return [
        _same("network", receipt.network, offer.network),
        _same("request id", receipt.request_id, offer.request_id),
        _same("part", receipt.part, offer.part),
        _same("coordinator", receipt.coordinator, offer.coordinator),
        _same("provider", receipt.provider, offer.provider),
        _same("model id", receipt.model_id, card.id),
        _same("model digest", receipt.model_digest, offer.model_digest),
        _same("quantization", receipt.quantization, card.quantization),
        _same("sampler parameters", receipt.sampler_digest, request.sampling.digest),
        _same("seed", receipt.seed, offer.seed),
        _same("request digest", receipt.request_digest, request.digest),
        _same("transformed", receipt.transformed, offer.transformed),
        Check("cached tokens", receipt.cached_tokens <= receipt.prompt_tokens, "more cached than prompt tokens"),
        Check(
            "prompt tokens",
            0 < receipt.prompt_tokens <= most_prompt_tokens(card, request),
            f"{receipt.prompt_tokens} of a context of {card.context_length}",
        ),
        Check(
            "completion tokens",
            receipt.completion_tokens == len(got.ids) <= limit,
            f"{receipt.completion_tokens} billed, {len(got.ids)} received, {limit} allowed",
        ),
        _same("output ids", receipt.output_ids_digest, ids_digest(got.ids)),
        _same("text", receipt.text_digest, text_digest(got.text)),
        Check("finish reason", receipt.finish_reason == got.finish_reason and receipt.finish_reason in FINISH_REASONS),
        _same("prices", receipt.prices, offer.prices),
        Check("credits", receipt.credits == metered, f"{receipt.credits} billed, {metered} metered"),
        Check(
            "credit limit", receipt.credits <= offer.max_credits, f"{receipt.credits} of at most {offer.max_credits}"
        ),
        Check("times", _in_order(receipt), "accepted, first token and finished are not in order"),
    ]


def _in_order(receipt: Receipt) -> bool:
    """``first_token_ms`` is 0 when there was no token."""
    if receipt.completion_tokens == 0 and receipt.first_token_ms == 0:
        return receipt.accepted_ms <= receipt.finished_ms
    return receipt.accepted_ms <= receipt.first_token_ms <= receipt.finished_ms


def _same(name: str, found: object, wanted: object) -> Check:
    def show(value: object) -> str:
        return value.hex()[:16] if isinstance(value, bytes) else str(value)[:80]

    return Check(name, found == wanted, f"{show(found)}, expected {show(wanted)}" if found != wanted else show(found))
