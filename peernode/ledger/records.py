"""Rows of the ledger as its readers see them."""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire.countersignature import SignedCountersignature
from peernode.wire.receipt import SignedReceipt


@dataclass(frozen=True, slots=True)
class ReceiptRecord:
    """A receipt this node holds. ``role`` is what this node was in the job: coordinator, provider or both.

    ``refused`` is empty, or why the coordinator would not countersign.
    """

    request_id: str
    part: int
    role: str
    receipt: SignedReceipt
    countersignature: SignedCountersignature | None
    refused: str
    recorded_ms: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A receipt that was refused: the bytes as they came (perhaps not even a receipt) and why."""

    request_id: str
    part: int
    provider: str
    raw: bytes
    code: str
    reason: str
    recorded_ms: int
