"""What the end of an answer says of its bill: the receipt's name, who served, and the credits of all parts.

Pure but for one lookup: an answer that several providers made in turn costs the sum of their receipts.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from peernode.chat.errors import JobError
from peernode.chat.events import Receipted
from peernode.edge.answers import verdict_of
from peernode.edge.services import ReceiptLookup

MICRO_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Settlement:
    """``receipt`` is the block that clients see, ``credits`` are micro-credits with the node's fee.

    Without a receipt there is no ``digest``.
    """

    receipt: dict[str, Any]
    provider: str = ""
    credits: int = 0
    digest: str = ""


async def settled(event: Receipted, receipts: ReceiptLookup) -> Settlement:
    """The settlement of an answer whose last part was receipted."""
    receipt = event.receipt.receipt
    owed = event.fee.on(receipt.credits)
    if receipt.part > 0:
        owed += sum(
            event.fee.on(found.receipt.receipt.credits)
            for found in await receipts.find(receipt.request_id)
            if found.part < receipt.part and found.countersignature is not None
        )
    digest = event.receipt.digest.hex()
    block = {"id": receipt.request_id, "digest": digest, "url": f"/v1/receipts/{receipt.request_id}"}
    return Settlement(block, receipt.provider, owed, digest)


def unsettled(error: JobError, provider: str) -> Settlement:
    """The settlement of an answer that stands although its receipt does not: nothing is owed for it."""
    about = {"code": error.code, "message": error.sentence, "status": verdict_of(error).status}
    return Settlement({"error": about}, provider)


def as_credits(micro: int) -> str:
    """Micro-credits as a decimal number of credits, without an exponent."""
    return format(Decimal(micro).scaleb(-MICRO_DIGITS).normalize(), "f")
