"""The coordinator's desk for receipts: check against the job, countersign, store; or refuse, and record that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from peernode.chat.errors import ReceiptRefused
from peernode.chat.events import Failed, Receipted
from peernode.chat.job_request import JobRequest
from peernode.ledger import ReceiptConflict, ReceiptStore, Refusal
from peernode.market.billing import Delivered, check_receipt
from peernode.wire.advert import ModelCard
from peernode.wire.countersignature import Countersignature, SignedCountersignature, sign_countersignature
from peernode.wire.errors import WireError
from peernode.wire.identity import Identity
from peernode.wire.offer import Offer
from peernode.wire.receipt import SignedReceipt, open_receipt

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ordered:
    """What this coordinator ordered, and from which advert."""

    offer: Offer
    request: JobRequest
    card: ModelCard


class ReceiptDesk:
    """Takes in receipts in this node's name."""

    def __init__(self, *, identity: Identity, store: ReceiptStore, clock_ms: Callable[[], int]) -> None:
        self._identity = identity
        self._store = store
        self._clock_ms = clock_ms

    async def take(self, raw: bytes, ordered: Ordered, got: Delivered) -> Receipted | Failed:
        """Receipted once receipt and countersignature are durable here; Failed(ReceiptRefused), recorded, otherwise."""
        signed: SignedReceipt | None = None
        try:
            signed = receipt = open_receipt(raw)
            check_receipt(receipt.receipt, ordered.offer, ordered.request, ordered.card, got)
            made = await trio.to_thread.run_sync(lambda: self._countersign(receipt))
        except WireError as err:
            return await self._refuse(raw, signed, ordered, _as_refusal(err))
        except ReceiptConflict as err:
            return await self._refuse(raw, signed, ordered, ReceiptRefused(err.sentence))
        except ReceiptRefused as err:
            return await self._refuse(raw, signed, ordered, err)
        return Receipted(receipt, made)

    def _countersign(self, signed: SignedReceipt) -> SignedCountersignature:
        now_ms = self._clock_ms()
        receipt = signed.receipt

        def build(cumulative: int) -> SignedCountersignature:
            body = Countersignature(
                receipt.network, receipt.coordinator, receipt.provider, signed.digest, cumulative, now_ms
            )
            return sign_countersignature(body, self._identity)

        return self._store.countersign(signed, build, now_ms=now_ms)

    async def _refuse(self, raw: bytes, signed: SignedReceipt | None, ordered: Ordered, err: ReceiptRefused) -> Failed:
        offer = ordered.offer
        reason = err.cause or err.sentence
        refusal = Refusal(offer.request_id, offer.part, offer.provider, raw, err.code, reason, self._clock_ms())
        # Somebody else's receipt, sent in place of this job's, is kept as bytes only.
        about = signed if signed and signed.receipt.request_id == offer.request_id else None
        await trio.to_thread.run_sync(lambda: self._store.refuse(refusal, signed=about))
        log.warning("receipt_refused", request_id=offer.request_id, provider=offer.provider, reason=reason)
        return Failed(err)


def _as_refusal(err: WireError) -> ReceiptRefused:
    return ReceiptRefused("The provider's receipt cannot be read or was not signed by it.", cause=f"{err.code}: {err}")
