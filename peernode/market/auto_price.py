"""Prices that follow the measured speed of a model on this node: twice as slow, twice the price.

What is configured is the price at a reference speed; the formula is in docs/prices.md. Every change is a new advert, so
a price moves by steps of a quarter, only when the speed has plainly moved, and not more often than every ten minutes.
Pure: the clock is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from peernode.wire.prices import Prices

STEP = 1.25
# How far, in steps, the speed must have left the present one. More than a half, so that none lies on an edge.
STICKY = 0.75
HOLD_S = 600.0
# Who chose by the advert before the last one is served at its price for so long.
GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Reference:
    """Tokens per second at which the configured prices are asked, and how far prices may go from them, as factors."""

    decode_tps: float = 20.0
    prefill_tps: float = 200.0
    least: float = 0.25
    most: float = 4.0


class SteppedFactor:
    """A factor of the form 1.25ⁿ that follows ``reference ÷ measured``, stickily."""

    def __init__(self, reference: float) -> None:
        self._reference = reference
        self._step: int | None = None

    def follow(self, measured: float) -> bool:
        """Whether it moved. Nothing measured moves nothing."""
        if measured <= 0:
            return False
        exact = math.log(self._reference / measured, STEP)
        if self._step is not None and abs(exact - self._step) <= STICKY:
            return False
        before, self._step = self._step, round(exact)
        return self._step != (before or 0)

    def value(self) -> float:
        return STEP ** (self._step or 0)


class AutoPrice:
    """The price of one model. ``clock`` is monotonic, in seconds."""

    def __init__(self, base: Prices, reference: Reference, *, clock: Callable[[], float]) -> None:
        self._base = base
        self._reference = reference
        self._clock = clock
        self._decode = SteppedFactor(reference.decode_tps)
        self._prefill = SteppedFactor(reference.prefill_tps)
        self._present = self._before = base
        self._changed_s = -math.inf

    def quote(self, decode_tps: float, prefill_tps: float) -> Prices:
        """What is asked now, at these measured rates; 0 for one that is not known yet."""
        now_s = self._clock()
        if now_s - self._changed_s < HOLD_S:
            return self._present
        moved = [self._decode.follow(decode_tps), self._prefill.follow(prefill_tps)]
        if any(moved):
            self._before, self._present = self._present, self._prices()
            self._changed_s = now_s
        return self._present

    def honours(self, prices: Prices) -> bool:
        """Whether an offer at ``prices`` is taken: the present ones, or for a while those before."""
        in_time = self._clock() - self._changed_s < GRACE_S
        return prices == self._present or (in_time and prices == self._before)

    def factors(self) -> tuple[float, float]:
        """By what prompts and completions are dearer than configured."""
        return self._bounded(self._prefill), self._bounded(self._decode)

    def _prices(self) -> Prices:
        prompts, completions = self.factors()
        base = self._base
        return Prices(round(base.prompt * prompts), round(base.cached * prompts), round(base.completion * completions))

    def _bounded(self, factor: SteppedFactor) -> float:
        return min(max(factor.value(), self._reference.least), self._reference.most)
