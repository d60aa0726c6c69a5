"""What a countersigned receipt means to the books of either side. Pure.

To the coordinator it is service bought (for a client, whose hold pays; or for the operator), to the provider income. A
receipt over no credits means nothing to the books.
"""

from __future__ import annotations

from peernode.ledger.events import (
    BOUGHT,
    INCOME,
    REDEEMED,
    SPENT,
    Event,
    Posting,
    held_for,
    owed,
    owes,
)
from peernode.wire.receipt import SignedReceipt


def taken(signed: SignedReceipt, *, at_ms: int, payer: str = "", held: int = 0) -> Event | None:
    """As coordinator: ``held`` is what the hold of ``payer``, a client's account, still has for this request.

    What the hold does not reach for is the operator's.
    """
    receipt = signed.receipt
    paid = min(held, receipt.credits)
    own_work = receipt.provider == receipt.coordinator
    moves = [
        Posting(account, amount)
        for account, amount in (
            (held_for(payer) if payer else "", -paid),
            (REDEEMED, paid),
            (BOUGHT, paid),
            (SPENT, receipt.credits - paid),
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
