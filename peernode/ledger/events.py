"""Events of the books: what happened, as postings that sum to zero, under a key that makes it happen once. Pure.

Amounts are whole micro-credits. What a node or its clients have is positive: ``client:ID`` (left to spend), ``held:ID``
(set aside for a running request), ``peer:ID:owes`` (that peer owes this node). What the node owes is negative:
``peer:ID:owed``. Where credits come from is negative, too (``granted`` to clients, ``income`` from service,
``fees`` from clients); what they
went into is positive (``redeemed`` by clients, ``bought`` for clients, ``spent`` by the operator). ``settled`` lies
outside of these books and has either sign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from peernode.wire import canonical

MAX_AMOUNT = 10**18
GRANTED, REDEEMED, BOUGHT, SPENT = "granted", "redeemed", "bought", "spent"
INCOME, SETTLED, FEES = "income", "settled", "fees"
HELD = "held:"
_CLIENT = "client:"
_SHARED = (_CLIENT, HELD)
_ACCOUNT = re.compile(r"[a-z]{1,16}(?::[A-Za-z0-9._-]{1,90}){0,2}")
_TEXTS = {"key": 200, "kind": 32, "about": 128, "note": 512}


def client(key_id: str) -> str:
    return f"{_CLIENT}{key_id}"


def held(key_id: str) -> str:
    return f"{HELD}{key_id}"


def held_for(account: str) -> str:
    """Where credits of a client's account are set aside. ValueError for another kind of account."""
    if not account.startswith(_CLIENT):
        raise ValueError(f"only a client's credits are held, not those of {account}")
    return HELD + account.removeprefix(_CLIENT)


def client_of(held_account: str) -> str:
    """Whose credits are set aside there."""
    return _CLIENT + held_account.removeprefix(HELD)


def owes(peer_id: str) -> str:
    """What that peer owes this node: positive."""
    return f"peer:{peer_id}:owes"


def owed(peer_id: str) -> str:
    """What this node owes that peer: negative."""
    return f"peer:{peer_id}:owed"


def is_shared(account: str) -> bool:
    """Whether all nodes of one database have this account together; else each has one of that name."""
    return account.startswith(_SHARED) or account in {GRANTED, REDEEMED}


@dataclass(frozen=True, slots=True)
class Posting:
    """``amount`` micro-credits into ``account``; out of it when negative."""

    account: str
    amount: int

    def __post_init__(self) -> None:
        if not _ACCOUNT.fullmatch(self.account):
            raise ValueError(f"{self.account[:80]!r} is not the name of an account")
        if type(self.amount) is not int or not 0 < abs(self.amount) <= MAX_AMOUNT:
            raise ValueError(f"{self.amount} is not an amount that can be posted")


@dataclass(frozen=True, slots=True)
class Event:
    """One fact, posted once: ``key`` names it for ever. ``about`` is the request or receipt it is about.

    ``at_ms`` and ``note`` are remarks: who posts the same key again may say them differently. Raises ValueError when
    the postings do not sum to zero, or name an account twice; what touches a hold must say which in ``about``.
    """

    key: str
    kind: str
    postings: tuple[Posting, ...]
    at_ms: int
    about: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for name, most in _TEXTS.items():
            if len(getattr(self, name)) > most:
                raise ValueError(f"the {name} of an event has at most {most} characters")
        if not self.key or not self.kind:
            raise ValueError("an event has a key and a kind")
        accounts = {posting.account for posting in self.postings}
        if len(accounts) != len(self.postings) or len(accounts) < 2:
            raise ValueError("an event posts to two or more accounts, once to each")
        if (total := sum(posting.amount for posting in self.postings)) != 0:
            raise ValueError(f"the postings of {self.key} sum to {total}, not to zero")
        if not self.about and any(account.startswith(HELD) for account in accounts):
            raise ValueError("an event that moves held credits names the request they are held for")

    @property
    def content(self) -> bytes:
        """Digest of what the event says, in 32 bytes."""
        moved = sorted((posting.account, str(posting.amount)) for posting in self.postings)
        fields: list[canonical.Value] = [self.kind, self.about, *(text for move in moved for text in move)]
        return canonical.digest(canonical.encode(fields))
