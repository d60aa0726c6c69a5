"""What a coordinator keeps for itself: a share on top of what providers ask, paid by its clients. Pure.

Providers, receipts and lines of credit know nothing of it: it is between a node and those who have a key of it. Amounts
are micro-credits, prices micro-credits per million tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from peernode.chat.wishes import Wishes
from peernode.wire.prices import Prices

PER = 1_000_000


@dataclass(frozen=True, slots=True)
class FeeShare:
    """``ppm`` millionths of each receipt. A fee is rounded down, a quoted price up: no bill is above its quote."""

    ppm: int = 0

    def of(self, cost: int) -> int:
        """The fee on a receipt over so much."""
        return cost * self.ppm // PER

    def on(self, cost: int) -> int:
        """What a client pays for service that costs ``cost``."""
        return cost + self.of(cost)

    def most_on(self, cost: int) -> int:
        """What service of at most ``cost`` in any number of receipts costs at most."""
        return -(-cost * (PER + self.ppm) // PER)

    def within(self, available: int) -> int:
        """The most service that ``available`` pays for."""
        return available * PER // (PER + self.ppm)

    def on_prices(self, prices: Prices) -> Prices:
        """Prices as clients pay them."""
        return Prices(self.most_on(prices.prompt), self.most_on(prices.cached), self.most_on(prices.completion))

    def within_wishes(self, wishes: Wishes) -> Wishes:
        """``wishes`` whose highest prices hold for what providers ask, so that they hold with the fee, too."""
        if not self.ppm:
            return wishes
        prompt, completion = wishes.max_price_prompt, wishes.max_price_completion
        return replace(
            wishes,
            max_price_prompt=None if prompt is None else self.within(prompt),
            max_price_completion=None if completion is None else self.within(completion),
        )


NO_FEE = FeeShare()
