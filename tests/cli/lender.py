"""Credit as a scripted node's operator sees it."""

from __future__ import annotations

from peernode.edge.errors import UnknownPeer
from peernode.wire.identity import Identity

FRIEND = Identity.from_seed(b"f" * 32).peer_id
FOE = Identity.from_seed(b"e" * 32).peer_id


def row(peer, **changes):
    plain = {
        "peer": peer, "owed": 0, "owing": 0, "balance": 0, "held": 0, "unsigned": 0, "limit": 1_000_000, "earned": 0,
        "served": 0, "taken": 0, "settled": 0, "repaid": 0, "last_active_ms": None, "closed": None, "refuses_us": None,
        "avoided": None, "marks": [], "marks_in_all": 0,
    }  # fmt: skip
    return {**plain, **changes}


class Lender:
    """Implements CreditServices; keeps what it was told to settle."""

    def __init__(self):
        self.settled = []

    async def balance(self):
        sums = dict.fromkeys(("held", "unsigned", "spent", "settled", "clients", "granted", "fees"), 0)
        peers = {"owed_by_peers": 900_000, "owed_to_peers": 250_000, "held_for_peers": 1_500}
        return {**sums, **peers, "income": -1_250_000, "newcomers_owe": 900_000, "newcomers_cap": 20_000_000}

    async def peers(self):
        mark = {"peer": FOE, "kind": "withheld", "reason": "the receipt was refused", "request_id": "req_7", "at_ms": 1}
        return [
            row(
                FRIEND, balance=900_000, served=1_250_000, settled=350_000, held=1_500, last_active_ms=1_800_000_000_000
            ),
            row(
                FOE,
                balance=-5,
                taken=5,
                unsigned=30,
                closed="the receipt was refused (req_7)",
                marks=[mark],
                marks_in_all=3,
            ),
        ]

    async def history(self, about, limit):
        entry = {"number": 3, "key": "k", "kind": "given", "about": "req_1", "note": "", "amount": 1_500, "at_ms": 1}
        return [{**entry, "account": about or "income"}] * min(limit, 2)

    async def settle(self, peer, amount, reference):
        if not FRIEND.startswith(peer):
            raise UnknownPeer("This node knows no such peer.", cause=peer)
        self.settled.append((amount, reference))
        return {
            "peer": FRIEND, "amount": amount, "settled": amount, "reference": reference, "delivered": False,
            "balance": 900_000 - amount, "limit": 1_000_000,
        }  # fmt: skip
