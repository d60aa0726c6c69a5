"""Accounts that know some keys and no others; nothing is asked of what they have."""

from __future__ import annotations

from peernode.edge.accounts import NoAccounts
from peernode.ledger.client_key import ClientKey, KeyLimits, KeyText
from peernode.market.client_errors import UnknownKey


class KnownKeys(NoAccounts):
    def __init__(self, *known: KeyText) -> None:
        self._known = {key.text for key in known}

    async def recognise(self, offered):
        if offered.text not in self._known:
            raise UnknownKey("This is not a key of this node.")
        return ClientKey(offered.id, "app", 0, KeyLimits())
