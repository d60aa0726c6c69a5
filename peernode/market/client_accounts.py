"""What is asked about clients: whose a key is, what it has left and what it used. The ledger blocks, so threads ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from peernode.ledger.client_key import ClientKey, KeyText
from peernode.ledger.client_records import ClientRequest, DayUse, Standing
from peernode.ledger.keys import Keys
from peernode.ledger.spending import Spending
from peernode.market.client_errors import ExpiredKey, KeyRefused, RevokedKey, UnknownKey


class ClientAccounts:
    """Keys and their money, for the edge."""

    def __init__(self, keys: Keys, spending: Spending, clock_ms: Callable[[], int]) -> None:
        self._keys = keys
        self._spending = spending
        self._clock_ms = clock_ms

    async def recognise(self, offered: KeyText) -> ClientKey:
        """The key, looked up now. Raises UnknownKey, RevokedKey or ExpiredKey."""
        key = await trio.to_thread.run_sync(self._keys.recognise, offered)
        if key is None:
            raise UnknownKey("This is not a key of this node.", remedy="Check that it was copied whole.")
        if (state := key.state(self._clock_ms())) != "active":
            raise refusal(state)
        return key

    async def standing(self, key_id: str) -> Standing:
        return await trio.to_thread.run_sync(lambda: self._spending.standing(key_id, now_ms=self._clock_ms()))

    async def usage(self, key_id: str, *, first_day: str, last_day: str) -> Sequence[DayUse]:
        return await trio.to_thread.run_sync(
            lambda: self._spending.usage(key_id, first_day=first_day, last_day=last_day)
        )

    async def request(self, request_id: str) -> ClientRequest | None:
        return await trio.to_thread.run_sync(self._spending.request, request_id)


def refusal(state: str) -> KeyRefused:
    """What the holder of a key hears that is ``revoked`` or ``expired``."""
    if state == "expired":
        return ExpiredKey("This key has expired.", remedy="Ask the node's operator for another.")
    return RevokedKey("This key was revoked.", remedy="Ask the node's operator for another.")
