"""What the edge asks about its clients: whose a key is, what it has left, what it used, and who asked for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from peernode.ledger.client_key import ClientKey, KeyText
from peernode.ledger.client_records import ClientRequest, DayUse, Standing
from peernode.market.client_errors import UnknownKey


class Accounts(Protocol):
    """Clients' accounts as HTTP shows them. Days are ISO texts, both ends included."""

    async def recognise(self, offered: KeyText) -> ClientKey:
        """Raises UnknownKey, RevokedKey or ExpiredKey."""
        ...

    async def standing(self, key_id: str) -> Standing: ...

    async def usage(self, key_id: str, *, first_day: str, last_day: str) -> Sequence[DayUse]: ...

    async def request(self, request_id: str) -> ClientRequest | None:
        """None for a request that came without a key, or not through this node."""
        ...


class NoAccounts:
    """A node without keys: every key is unknown, and no request is anybody's."""

    async def recognise(self, offered: KeyText) -> ClientKey:
        raise UnknownKey("This node has no keys.", cause=offered.id)

    async def standing(self, key_id: str) -> Standing:
        raise UnknownKey("This node has no keys.", cause=key_id)

    async def usage(self, key_id: str, *, first_day: str, last_day: str) -> Sequence[DayUse]:
        raise UnknownKey("This node has no keys.", cause=f"{key_id} from {first_day} to {last_day}")

    async def request(self, request_id: str) -> ClientRequest | None:  # the protocol names it
        return None
