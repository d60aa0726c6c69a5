"""The coordinator's desk for receipts: check against the job, countersign, store; or refuse, and record that."""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio

from peernode.chat.errors import JobError, ReceiptRefused
from peernode.chat.events import Failed, Receipted
from peernode.ledger import ReceiptConflict, ReceiptStore, Refusal
from peernode.market.billing import Delivered, check_receipt
from peernode.market.orders import Ordered
from peernode.market.recovery.ordered import OrderedParts
from peernode.wire.errors import WireError
from peernode.wire.identity import Identity
from peernode.wire.receipt import SignedReceipt, open_receipt

__all__ = ["Ordered", "ReceiptDesk"]

log = structlog.get_logger(__name__)


class ReceiptDesk:
    """Takes in receipts in this node's name. ``took`` hears of each new total that it owes a provider, ``refused`` of
    each receipt of a peer that is not for what it did.

    ``parts`` are what it ordered from peers.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        store: ReceiptStore,
        clock_ms: Callable[[], int],
        took: Callable[[str, int], None] = lambda provider, cumulative: None,
        refused: Callable[[str, JobError, str], None] = lambda provider, error, request_id: None,
    ) -> None:
        self.parts = OrderedParts(identity=identity, store=store, clock_ms=clock_ms, took=took, refused=refused)
        self._refused = refused
        self._store = store
        self._clock_ms = clock_ms

    async def take(self, raw: bytes, ordered: Ordered, got: Delivered) -> Receipted | Failed:
        """Receipted once receipt and countersignature are durable here; Failed(ReceiptRefused), recorded, otherwise."""
        signed: SignedReceipt | None = None
        try:
            signed = receipt = open_receipt(raw)
            check_receipt(receipt.receipt, ordered.offer, ordered.request, ordered.card, got)
            made = await self.parts.countersign(receipt)
        except WireError as err:
            return await self._refuse(raw, signed, ordered, _as_refusal(err))
        except ReceiptConflict as err:
            return await self._refuse(raw, signed, ordered, ReceiptRefused(err.sentence))
        except ReceiptRefused as err:
            return await self._refuse(raw, signed, ordered, err)
        return Receipted(receipt, made)

    async def _refuse(self, raw: bytes, signed: SignedReceipt | None, ordered: Ordered, err: ReceiptRefused) -> Failed:
        offer = ordered.offer
        reason = err.cause or err.sentence
        refusal = Refusal(offer.request_id, offer.part, offer.provider, raw, err.code, reason, self._clock_ms())
        # Somebody else's receipt, sent in place of this job's, is kept as bytes only.
        about = signed if signed and signed.receipt.request_id == offer.request_id else None
        await trio.to_thread.run_sync(lambda: self._store.refuse(refusal, signed=about))
        log.warning("receipt_refused", request_id=offer.request_id, provider=offer.provider, reason=reason)
        if offer.provider != offer.coordinator:
            self._refused(offer.provider, err, offer.request_id)
        return Failed(err)


def _as_refusal(err: WireError) -> ReceiptRefused:
    return ReceiptRefused("The provider's receipt cannot be read or was not signed by it.", cause=f"{err.code}: {err}")
