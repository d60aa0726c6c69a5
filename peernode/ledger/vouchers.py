"""Vouchers of peers, the cumulative totals in their countersignatures, held against the receipts that they signed for.

A total may come late, behind a newer one: it is the newest that must cover all receipts with a countersignature.
"""

from __future__ import annotations

from sqlalchemy import BindParameter, Connection, bindparam, func, select

from peernode.ledger.database import own_of
from peernode.ledger.errors import VoucherTooLow
from peernode.ledger.events import owes
from peernode.ledger.lines_schema import settlement_notes
from peernode.ledger.schema import balances, countersignatures
from peernode.wire.countersignature import SignedCountersignature
from peernode.wire.receipt import SignedReceipt

_OWN: BindParameter[str] = bindparam("own")
_BY: BindParameter[str] = bindparam("by")
_ACCOUNT: BindParameter[str] = bindparam("account")
_newest = (
    select(func.max(countersignatures.c.cumulative))
    .where(
        countersignatures.c.node == _OWN, countersignatures.c.coordinator == _BY, countersignatures.c.provider == _OWN
    )
    .scalar_subquery()
)
_open_debt = select(balances.c.amount).where(balances.c.node == _OWN, balances.c.account == _ACCOUNT).scalar_subquery()
_settled = (
    select(func.max(settlement_notes.c.settled))
    .where(settlement_notes.c.node == _OWN, settlement_notes.c.creditor == _OWN, settlement_notes.c.debtor == _BY)
    .scalar_subquery()
)
_BETWEEN = select(_newest.label("newest"), _open_debt.label("open_debt"), _settled.label("settled"))


def check_voucher(db: Connection, made: SignedCountersignature, signed: SignedReceipt) -> None:
    """As provider, before ``made`` for ``signed`` is kept. Raises VoucherTooLow."""
    body = made.countersignature
    if body.coordinator == body.provider:
        return
    asked = {"own": own_of(db), "by": body.coordinator, "account": owes(body.coordinator)}
    between = db.execute(_BETWEEN, asked).one()
    signed_for = (between.open_debt or 0) + (between.settled or 0) + signed.receipt.credits
    if max(between.newest or 0, body.cumulative) < signed_for:
        raise VoucherTooLow(
            "The countersigned total does not cover the receipts that its signer countersigned.",
            cause=f"a total of {body.cumulative}, receipts over {signed_for}",
        )
