"""Checking a receipt offline: what its bytes and signatures alone prove, check by check. Pure; needs no node."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from peernode.errors import PeernodeError
from peernode.market.billing import Check
from peernode.wire.canonical import Value
from peernode.wire.countersignature import KIND as COUNTERSIGNATURE_KIND
from peernode.wire.countersignature import MAX_COUNTERSIGNATURE_BYTES, Countersignature
from peernode.wire.envelope import Envelope, unseal
from peernode.wire.identity import public_key_of
from peernode.wire.receipt import FINISH_REASONS, MAX_RECEIPT_BYTES, NO_PREVIOUS, Receipt, is_embedded
from peernode.wire.receipt import KIND as RECEIPT_KIND

T = TypeVar("T")


def verify_receipt(raw_receipt: bytes, raw_countersignature: bytes | None) -> tuple[Check, ...]:
    """Every check in order; the receipt is verified when all passed.

    A decoding that fails ends the list, for nothing behind it means anything. A missing countersignature is a failed
    check: without it nobody but the provider says that the job was done.
    """
    checks: list[Check] = []
    opened = _decode(checks, "receipt", RECEIPT_KIND, raw_receipt, MAX_RECEIPT_BYTES)
    if opened is None:
        return tuple(checks)
    envelope, fields = opened
    receipt = _attempt(checks, "receipt has every field, each in range", lambda: Receipt.from_fields(fields))
    if receipt is None:
        return tuple(checks)
    _attempt(checks, "provider's peer id holds its key", lambda: public_key_of(receipt.provider).hex())
    _attempt(checks, "coordinator's peer id holds its key", lambda: public_key_of(receipt.coordinator).hex())
    _attempt(checks, "provider's signature", lambda: _signed_by(envelope, receipt.provider))
    checks.extend(_sanity(receipt))
    if raw_countersignature is None:
        checks.append(Check("countersignature is present", False, "the coordinator never countersigned"))
        return tuple(checks)
    countersigned = _decode(
        checks, "countersignature", COUNTERSIGNATURE_KIND, raw_countersignature, MAX_COUNTERSIGNATURE_BYTES
    )
    if countersigned is None:
        return tuple(checks)
    counter_envelope, counter_fields = countersigned
    made = _attempt(
        checks,
        "countersignature has every field, each in range",
        lambda: Countersignature.from_fields(counter_fields),
    )
    if made is None:
        return tuple(checks)
    checks.extend(_agreement(receipt, envelope, made))
    _attempt(
        checks,
        "coordinator's signature",
        lambda: _signed_by(counter_envelope, receipt.coordinator),
    )
    return tuple(checks)


def _sanity(receipt: Receipt) -> list[Check]:
    metered = receipt.prices.amount(
        prompt_tokens=receipt.prompt_tokens,
        cached_tokens=min(receipt.cached_tokens, receipt.prompt_tokens),
        completion_tokens=receipt.completion_tokens,
        embedded=is_embedded(receipt.sampler_version, receipt.finish_reason),
    )
    began = receipt.first_token_ms or receipt.accepted_ms
    return [
        Check("finish reason is a known one", receipt.finish_reason in FINISH_REASONS, receipt.finish_reason),
        Check(
            "token counts agree",
            receipt.cached_tokens <= receipt.prompt_tokens,
            f"{receipt.prompt_tokens} prompt ({receipt.cached_tokens} cached), {receipt.completion_tokens} completion",
        ),
        Check(
            "credits are tokens times prices",
            receipt.credits == metered,
            f"{receipt.credits} stated, {metered} computed (micro-credits)",
        ),
        Check(
            "times are in order",
            receipt.accepted_ms <= began <= receipt.finished_ms,
            f"{receipt.accepted_ms} ≤ {began} ≤ {receipt.finished_ms}",
        ),
        Check(
            "place in the provider's chain",
            (receipt.seq == 1) == (receipt.previous == NO_PREVIOUS),
            f"number {receipt.seq}, after {receipt.previous.hex()[:16]}…",
        ),
    ]


def _agreement(receipt: Receipt, envelope: Envelope, made: Countersignature) -> list[Check]:
    return [
        Check("countersignature names this receipt", made.receipt_digest == envelope.digest, envelope.digest.hex()),
        Check("countersignature is of the same network", made.network == receipt.network, made.network),
        Check(
            "countersignature is by the job's coordinator", made.coordinator == receipt.coordinator, made.coordinator
        ),
        Check("countersignature is for the same provider", made.provider == receipt.provider, made.provider),
        Check(
            "cumulative total covers this receipt",
            made.cumulative >= receipt.credits,
            f"{made.cumulative} owed in all, {receipt.credits} for this job",
        ),
    ]


def _decode(checks: list[Check], name: str, kind: str, raw: bytes, max_bytes: int) -> tuple[Envelope, Value] | None:
    return _attempt(checks, f"{name} is in canonical encoding", lambda: unseal(kind, raw, max_bytes=max_bytes), "yes")


def _signed_by(envelope: Envelope, peer_id: str) -> str:
    envelope.check_signed_by(peer_id)
    return peer_id


def _attempt(checks: list[Check], name: str, step: Callable[[], T], detail: str = "") -> T | None:
    try:
        result = step()
    except PeernodeError as err:
        checks.append(Check(name, False, str(err)))
        return None
    checks.append(Check(name, True, detail or (result if isinstance(result, str) else "")))
    return result
