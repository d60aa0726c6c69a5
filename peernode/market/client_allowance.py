"""What those who come without a key may use up: an allowance for each address, which refills. Kept in memory.

It is this node's own generosity, and not money: no ledger knows it, a restart refills it, and each of several nodes has
its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from peernode.chat.job import ChatJob
from peernode.ledger.spending import Bounds
from peernode.market.client_errors import InsufficientCredit
from peernode.market.client_purse import Outcome

# No key's id looks like this.
FREE = "free:"
MAX_REMEMBERED = 16_384
HOUR_S = 3600.0


@dataclass(slots=True)
class _Left:
    """Micro-credits of one address."""

    amount: float
    since_s: float


class FreePurse:
    """Pays for jobs whose payer is FREE and an address. ``most`` micro-credits each, refilled by ``hourly`` an hour.

    ``clock`` gives seconds.
    """

    def __init__(self, *, most: int, hourly: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._hourly = hourly
        self._clock = clock
        self._addresses: OrderedDict[str, _Left] = OrderedDict()

    async def hold(self, job: ChatJob, bounds: Bounds) -> int:
        left = self._left(job.payer)
        if bounds.least > left.amount:
            missing = bounds.least - left.amount
            reachable = self._hourly > 0 and bounds.least <= self._most
            raise InsufficientCredit(
                needed=bounds.least,
                available=int(left.amount),
                remedy="Wait until the free allowance has refilled, ask for fewer tokens, or send a key.",
                retry_after_s=missing * HOUR_S / self._hourly if reachable else None,
            )
        held = int(min(bounds.most, left.amount))
        left.amount -= held
        return held

    async def end(self, job: ChatJob, held: int, outcome: Outcome) -> None:
        cost = 0 if outcome.failed else min(held, outcome.cost)
        left = self._left(job.payer)
        left.amount = min(float(self._most), left.amount + held - cost)

    def _left(self, payer: str) -> _Left:
        now_s = self._clock()
        left = self._addresses.get(payer)
        if left is None:
            left = self._addresses[payer] = _Left(float(self._most), now_s)
        left.amount = min(float(self._most), left.amount + max(0.0, now_s - left.since_s) * self._hourly / HOUR_S)
        left.since_s = now_s
        self._addresses.move_to_end(payer)
        while len(self._addresses) > MAX_REMEMBERED:
            self._addresses.popitem(last=False)
        return left
