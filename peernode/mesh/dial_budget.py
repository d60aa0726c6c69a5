"""How many failed dials strangers may cost us: token buckets per host dialled and per peer that named the address.

An advert is signed by whoever wrote it, but the addresses in it are only a claim: without a budget a few keys could
make every node of the network knock on the doors of a third party. Pure: time is passed in. Leaves the pause before
one address is tried again to ``backoff``.
"""

from __future__ import annotations

from collections import OrderedDict

from peernode.mesh.addresses import host_of
from peernode.mesh.nat.circuit_address import is_circuit

HOST_BURST = 32.0
HOST_PER_SECOND = 0.5
PEER_BURST = 16.0
PEER_PER_SECOND = 0.1
MAX_REMEMBERED = 4096


class _Buckets:
    """Tokens by key, the most recently charged ``MAX_REMEMBERED``; a full bucket need not be remembered."""

    def __init__(self, *, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def left(self, key: str, now_s: float) -> float:
        tokens, since_s = self._left.get(key, (self._burst, now_s))
        return min(self._burst, tokens + (now_s - since_s) * self._per_second)

    def charge(self, key: str, now_s: float) -> None:
        self._left[key] = (max(self.left(key, now_s) - 1.0, 0.0), now_s)
        self._left.move_to_end(key)
        while len(self._left) > MAX_REMEMBERED:
            self._left.popitem(last=False)


class DialBudget:
    """Counts failures only: whoever can be reached may be dialled as often as is of use."""

    def __init__(self) -> None:
        self._hosts = _Buckets(burst=HOST_BURST, per_second=HOST_PER_SECOND)
        self._peers = _Buckets(burst=PEER_BURST, per_second=PEER_PER_SECOND)

    def permits(self, peer_id: str, address: str, now_s: float) -> bool:
        """False when the host in ``address``, or ``peer_id`` who claims to be there, wasted too many dials lately."""
        return self._hosts.left(_place(peer_id, address), now_s) >= 1.0 and self._peers.left(peer_id, now_s) >= 1.0

    def failed(self, peer_id: str, address: str, now_s: float) -> None:
        """Charge a dial that reached nobody, or somebody else."""
        self._hosts.charge(_place(peer_id, address), now_s)
        self._peers.charge(peer_id, now_s)


def _place(peer_id: str, address: str) -> str:
    """Whose door a dial knocks at. A relay is not to blame for those who say that they can be called through it."""
    return f"relayed to {peer_id}" if is_circuit(address) else host_of(address)
