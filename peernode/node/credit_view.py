"""Credit between nodes as the operator's tools see it: balances, lines, marks, history. JSON as it stands.

Implements the edge's CreditServices. Amounts are micro-credits, times Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import trio

from peernode.edge.errors import UnknownPeer
from peernode.ledger import Books
from peernode.ledger.events import FEES, GRANTED, HELD, INCOME, SETTLED, SPENT, owed, owes
from peernode.ledger.line_records import Mark
from peernode.ledger.lines import Lines
from peernode.ledger.supply import Supply
from peernode.market.credit.lines import CreditLines, Standing
from peernode.market.credit.repute import Repute
from peernode.market.credit.settling import Settling
from peernode.wire.errors import BadPeerId
from peernode.wire.identity import public_key_of

MARKS_SHOWN = 5
_OVERVIEW = (INCOME, SPENT, SETTLED, GRANTED, FEES)


class CreditView:
    """``known`` gives the peers that the mesh knows, for names that are only the beginning or end of an id."""

    def __init__(
        self,
        *,
        own: str,
        lines: CreditLines,
        repute: Repute,
        settling: Settling,
        rows: Lines,
        books: Books,
        supply: Supply,
        known: Callable[[], set[str]],
    ) -> None:
        self._own = own
        self._lines = lines
        self._repute = repute
        self._settling = settling
        self._rows = rows
        self._books = books
        self._supply = supply
        self._known = known

    async def balance(self) -> Mapping[str, Any]:
        """All accounts in a few sums, and the newcomers' share."""
        accounts = await trio.to_thread.run_sync(self._books.balances)
        supply = await trio.to_thread.run_sync(self._supply.limits)
        standings = self._lines.standings()
        return {
            **{name: accounts.get(name, 0) for name in _OVERVIEW},
            "clients": _sum_of(accounts, "client:"),
            "held": _sum_of(accounts, HELD),
            "owed_by_peers": sum(max(each.position.balance, 0) for each in standings),
            "owed_to_peers": sum(max(-each.position.balance, 0) for each in standings),
            "held_for_peers": sum(each.held for each in standings),
            "unsigned": sum(each.unsigned for each in standings),
            "newcomers_owe": self._lines.newcomers_owe(),
            "newcomers_cap": self._lines.terms.newcomers_cap,
            "grantable": supply.total,
            "accounts": accounts,
        }

    async def peers(self) -> Sequence[Mapping[str, Any]]:
        """A line for each peer with whom there is or was anything; who owes most comes first."""
        marks: dict[str, list[Mark]] = {}
        for mark in await trio.to_thread.run_sync(self._rows.marks):
            marks.setdefault(mark.peer, []).append(mark)
        standings = {each.peer: each for each in self._lines.standings()}
        for peer in marks.keys() | self._repute.no_credit.keys():
            standings.setdefault(peer, self._lines.standing(peer))
        rows = [self._row(each, marks.get(each.peer, [])) for each in standings.values()]
        return sorted(rows, key=lambda row: (-abs(row["balance"]), row["peer"]))

    def _row(self, standing: Standing, marks: Sequence[Mark]) -> dict[str, Any]:
        position = standing.position
        refused = self._repute.no_credit.get(standing.peer)
        return {
            "peer": standing.peer,
            "owed": position.owed,
            "owing": position.owing,
            "balance": position.balance,
            "held": standing.held,
            "unsigned": standing.unsigned,
            "limit": standing.limit,
            "earned": standing.earned,
            "served": position.given,
            "taken": position.taken,
            "settled": position.paid,
            "repaid": position.repaid,
            "last_active_ms": position.active_ms or None,
            "closed": standing.closed or None,
            "refuses_us": None if refused is None else asdict(refused),
            "avoided": self._repute.avoided(standing.peer) if self._repute.bills_falsely(standing.peer) else None,
            "marks": [asdict(mark) for mark in marks[:MARKS_SHOWN]],
            "marks_in_all": len(marks),
        }

    def note_of(self, peer: str) -> str | None:
        """In two words, what is wrong with the credit between this node and ``peer``; None when nothing is."""
        if self._repute.bills_falsely(peer):
            return "billed falsely"
        return "used up" if peer in self._repute.no_credit else None

    async def history(self, about: str, limit: int) -> Sequence[Mapping[str, Any]]:
        accounts = await trio.to_thread.run_sync(self._books.balances)
        if not about:
            wanted = [name for name in accounts if name in _OVERVIEW]
        elif about in accounts:
            wanted = [about]
        else:
            peer = self._named(about)
            wanted = [owes(peer), owed(peer)]
        entries = []
        for account in wanted:
            found = await trio.to_thread.run_sync(lambda name=account: self._books.history(name, limit=limit))
            entries += [{"account": account, **asdict(entry)} for entry in found]
        return sorted(entries, key=lambda entry: entry["number"], reverse=True)[:limit]

    async def settle(self, peer: str, amount: int, reference: str) -> Mapping[str, Any]:
        debtor = self._named(peer)
        note, delivered = await self._settling.settle(debtor, amount, reference)
        standing = self._lines.standing(debtor)
        return {
            "peer": debtor,
            "amount": note.amount,
            "settled": note.settled,
            "reference": note.reference,
            "delivered": delivered,
            "balance": standing.position.balance,
            "limit": standing.limit,
        }

    def _named(self, name: str) -> str:
        """The peer that is called so, or whose id alone begins or ends so; a whole id may be of anybody."""
        known = {each.peer for each in self._lines.standings()} | self._known()
        found = [peer for peer in known if name and (peer.startswith(name) or peer.endswith(name))]
        if len(found) == 1 and found[0] != self._own:
            return found[0]
        if len(found) > 1:
            raise UnknownPeer(
                "Several peers are called that.",
                cause=f"{len(found)} ids begin or end with {name[:64]}",
                remedy="Give more of the id.",
            )
        try:
            public_key_of(name)
        except BadPeerId as err:
            remedy = "`peernode credits peers` and `peernode peers` list the known ones by id."
            raise UnknownPeer("This node knows no such peer.", cause=name[:64], remedy=remedy) from err
        if name == self._own:
            raise UnknownPeer("That is this node itself.", cause=name, remedy="Name another peer.")
        return name


def _sum_of(accounts: Mapping[str, int], prefix: str) -> int:
    return sum(amount for name, amount in accounts.items() if name.startswith(prefix))
