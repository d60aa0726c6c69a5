"""The receipt of a part that broke off: how a provider makes it, and what a coordinator holds it against. Pure.

A part that broke off is billed by what the coordinator says that it has (``exact``); a coordinator that lost its memory
in a crash takes what the provider says, up to a bounded number of tokens beyond its own last word.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.chat.errors import ReceiptRefused
from peernode.market.patience import MOST_UNACKNOWLEDGED
from peernode.market.recovery.extent import Extent
from peernode.market.recovery.terms import Terms
from peernode.wire.receipt import FINISH_REASONS, LOST, Receipt, is_embedded

_AS_ORDERED = (
    "network",
    "request_id",
    "part",
    "coordinator",
    "provider",
    "model_id",
    "model_digest",
    "quantization",
    "sampler_digest",
    "seed",
    "request_digest",
    "transformed",
    "prices",
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a coordinator has of a part by its own word; ``exact`` if that is all there is."""

    extent: Extent
    exact: bool


@dataclass(frozen=True, slots=True)
class Times:
    """Of a part, on its provider's clock; ``first_token_ms`` is 0 where a crash took it away."""

    first_token_ms: int
    ended_ms: int


def lost_receipt(terms: Terms, extent: Extent, times: Times, *, seq: int, previous: bytes) -> Receipt:
    """The receipt for a part that got as far as ``extent`` and broke off."""
    first_ms = max(times.first_token_ms, terms.accepted_ms)
    return Receipt(
        network=terms.network,
        request_id=terms.request_id,
        part=terms.part,
        coordinator=terms.coordinator,
        provider=terms.provider,
        model_id=terms.model_id,
        model_digest=terms.model_digest,
        quantization=terms.quantization,
        template_digest=terms.template_digest,
        sampler_version=terms.sampler_version,
        sampler_digest=terms.sampler_digest,
        seed=terms.seed,
        request_digest=terms.request_digest,
        transformed=terms.transformed,
        prompt_tokens=extent.prompt_tokens,
        cached_tokens=extent.cached_tokens,
        completion_tokens=extent.tokens,
        output_ids_digest=extent.ids_digest,
        text_digest=extent.text_digest,
        finish_reason=LOST,
        prices=terms.prices,
        credits=terms.owed(
            prompt_tokens=extent.prompt_tokens, cached_tokens=extent.cached_tokens, tokens=extent.tokens
        ),
        accepted_ms=terms.accepted_ms,
        first_token_ms=first_ms,
        finished_ms=max(times.ended_ms, first_ms),
        seq=seq,
        previous=previous,
    )


def check_claimed(receipt: Receipt, terms: Terms, claim: Claim) -> None:
    """Raises ReceiptRefused naming what of ``receipt`` is not as ordered, or more than is owed."""
    for name, holds in _checks(receipt, terms, claim):
        if not holds:
            raise ReceiptRefused("The provider's receipt does not match the part that broke off.", cause=name)


def _checks(receipt: Receipt, terms: Terms, claim: Claim) -> list[tuple[str, bool]]:
    known = claim.extent
    most = known.tokens if claim.exact else known.tokens + MOST_UNACKNOWLEDGED
    cached_fits = receipt.cached_tokens <= receipt.prompt_tokens
    metered = (
        terms.owed(
            prompt_tokens=receipt.prompt_tokens,
            cached_tokens=receipt.cached_tokens,
            tokens=receipt.completion_tokens,
            whole=is_embedded(receipt.sampler_version, receipt.finish_reason),
        )
        if cached_fits
        else -1
    )
    first_ms = receipt.first_token_ms or receipt.accepted_ms
    return [
        *((name.replace("_", " "), getattr(receipt, name) == getattr(terms, name)) for name in _AS_ORDERED),
        ("cached tokens", cached_fits),
        ("prompt tokens", 0 < receipt.prompt_tokens <= terms.max_prompt),
        ("completion tokens", known.tokens <= receipt.completion_tokens <= min(most, terms.max_tokens)),
        ("what was acknowledged", receipt.completion_tokens != known.tokens or _is_all(receipt, known)),
        ("finish reason", receipt.finish_reason in FINISH_REASONS),
        ("credits", receipt.credits == metered),
        ("credit limit", receipt.credits <= terms.max_credits),
        ("times", receipt.accepted_ms <= first_ms <= receipt.finished_ms),
    ]


def _is_all(receipt: Receipt, known: Extent) -> bool:
    """Where the receipt ends with the last acknowledgement, it is for what that says."""
    return known.prompt_tokens == 0 or Extent.billed(receipt) == known
