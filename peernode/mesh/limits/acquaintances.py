"""Whom this node knows: named by its operator, met before, or in its directory.

Pure but for the clock passed in. Leaves what the known may do that strangers may not to ``admission``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping

from peernode.mesh.limits.admission import Standing, address_group

MAX_MET = 1024
REFRESH_S = 5.0


def _ip(multiaddr: str) -> str | None:
    parts = multiaddr.split("/")
    return address_group(parts[2]) if len(parts) > 2 and parts[1] in ("ip4", "ip6") else None


class Acquaintances:
    """``named`` maps peers of the operator to their addresses; ``advertised`` gives those of the directory.

    ``listed`` tells whether a peer is in the directory.
    """

    def __init__(
        self,
        *,
        named: Mapping[str, Iterable[str]],
        advertised: Callable[[], Mapping[str, Iterable[str]]],
        listed: Callable[[str], bool],
        clock: Callable[[], float],
    ) -> None:
        self._named = named
        self._advertised = advertised
        self._listed = listed
        self._clock = clock
        self._met: OrderedDict[str, str] = OrderedDict()
        self._groups: frozenset[str] = frozenset()
        self._groups_since_s = float("-inf")

    def met(self, peer_id: str, address: str) -> None:
        """Remember a peer that this node chose to dial, or that stayed for a while, at its address group."""
        self._met[peer_id] = address
        self._met.move_to_end(peer_id)
        while len(self._met) > MAX_MET:
            self._met.popitem(last=False)

    def standing(self, peer_id: str) -> Standing:
        """What this peer is to the node."""
        if peer_id in self._named:
            return Standing.NAMED
        return Standing.KNOWN if peer_id in self._met or self._listed(peer_id) else Standing.STRANGER

    def knows_address(self, group: str) -> bool:
        """True if a known peer is, or was lately, at this address group."""
        now_s = self._clock()
        if now_s - self._groups_since_s > REFRESH_S:
            told = [*self._named.values(), *self._advertised().values()]
            groups = {_ip(address) for addresses in told for address in addresses}
            self._groups = frozenset(group for group in groups if group is not None)
            self._groups_since_s = now_s
        return group in self._groups or group in self._met.values()
