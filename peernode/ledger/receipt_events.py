"""What a countersigned receipt means to the books of either side. Pure.

To the coordinator it is service bought (for a client, whose hold pays, with a fee for the node itself; or for the
operator), to the provider income. A receipt over no credits means nothing to the books.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.ledger.events import (
    BOUGHT,
    FEES,
    INCOME,
    REDEEMED,
    SPENT,
    Event,
    Posting,
    held_for,
    owed,
    owes,
)
from peernode.wire.receipt import Receipt, SignedReceipt


@dataclass(frozen=True, slots=True)
class Share:
    """What of a receipt a client's account ``payer`` pays from its hold, and the ``fee`` to its own node besides."""

    payer: str = ""
    paid: int = 0
    fee: int = 0


def share_of(receipt: Receipt, payer: str, *, held: int, fee: int) -> Share:
    """Of at most ``held`` the provider comes first, then the fee."""
    paid = min(held, receipt.credits)
    return Share(payer, paid, min(fee, held - paid))


def taken(signed: SignedReceipt, share: Share, *, at_ms: int) -> Event | None:
    """As coordinator. What the client's share does not reach for is the operator's."""
    receipt = signed.receipt
    own_work = receipt.provider == receipt.coordinator
    redeemed = share.paid + share.fee
    moves = [
        Posting(account, amount)
        for account, amount in (
            (held_for(share.payer) if share.payer else "", -redeemed),
            (REDEEMED, redeemed),
            (BOUGHT, redeemed),
            (FEES, -share.fee),
            (SPENT, receipt.credits - share.paid),
            (INCOME if own_work else owed(receipt.provider), -receipt.credits),
        )
        if amount
    ]
    return _event(signed, "taken", tuple(moves), at_ms)


def given(signed: SignedReceipt, *, at_ms: int) -> Event | None:
    """As provider of another node's job."""
    receipt = signed.receipt
    if not receipt.credits:
        return None
    moves = (Posting(owes(receipt.coordinator), receipt.credits), Posting(INCOME, -receipt.credits))
    return _event(signed, "given", moves, at_ms)


def _event(signed: SignedReceipt, way: str, moves: tuple[Posting, ...], at_ms: int) -> Event | None:
    if not moves:
        return None
    return Event(f"receipt:{signed.digest.hex()}:{way}", way, moves, at_ms, about=signed.receipt.request_id)
