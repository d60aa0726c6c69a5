"""Credit set aside for one running job: its prompt, and a window of tokens ahead of what was handed on.

Grows by a window whenever the one before is used up, and only as far as the line allows; so at every moment what a peer
owes and what is set aside together stay within its line. What was handed on and never signed for is not given back.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from peernode.chat.job_request import JobRequest
from peernode.errors import PeernodeError
from peernode.market.credit.cost import cost, most_completion_tokens, most_prompt_tokens
from peernode.wire.offer import Offer

# As many tokens as may be on their way unacknowledged: neither side can lose more of a job that breaks off.
WINDOW_TOKENS = 256
SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class Unsigned:
    """What a hold leaves behind when its job ends without a countersignature."""

    credits: int
    withheld: bool
    reason: str


class Purse(Protocol):
    """Where credit for the jobs of one peer comes from."""

    def change(self, peer: str, by: int, *, forced: bool = False) -> bool:
        """Set ``by`` more aside, or give some back; False, changing nothing, when the line does not reach."""
        ...

    def end(self, hold: Hold, unsigned: Unsigned | None) -> None:
        """The job is over; ``unsigned`` is what its coordinator got and did not sign for."""
        ...


class Hold:
    """One job's credit, from the offer to the countersignature. Take it with ``with``.

    ``signed``: the countersignature is here; ``refused``: its coordinator will not sign.
    """

    def __init__(self, purse: Purse, offer: Offer, request: JobRequest, context_length: int) -> None:
        self.peer, self.request_id, self.part = offer.coordinator, offer.request_id, offer.part
        self.signed = self.refused = False
        self.aside = self.began_ms = 0
        self._purse = purse
        self._prices = offer.prices
        self._prompt = most_prompt_tokens(request, context_length, earlier=len(offer.continue_from))
        self._cached: int | None = None
        self._most = most_completion_tokens(request, context_length)
        self._allowed = min(WINDOW_TOKENS, self._most)
        self._handed_on = 0
        self._bill: int | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        return self.peer, self.request_id, self.part

    @property
    def need(self) -> int:
        """Micro-credits for the prompt and the tokens that are allowed now."""
        return self._cost(self._allowed)

    def _cost(self, completion_tokens: int) -> int:
        return cost(self._prices, self._prompt, completion_tokens, cached_tokens=self._cached)

    def covers(self, completion_tokens: int) -> bool:
        if completion_tokens > self._allowed:
            # A model may say more than was asked of it only by a token or two that end it.
            allowed = max(completion_tokens, min(completion_tokens + WINDOW_TOKENS, self._most))
            more = self._cost(allowed) - self.aside
            if not self._purse.change(self.peer, more):
                return False
            self.aside += more
            self._allowed = allowed
        self._handed_on = max(self._handed_on, completion_tokens)
        return True

    def metered(self, prompt_tokens: int, cached_tokens: int) -> None:
        self._prompt, self._cached = prompt_tokens, cached_tokens
        self._set_aside(self.need)

    def billed(self, amount: int) -> None:
        self._bill = amount
        self._set_aside(amount)

    def _set_aside(self, amount: int) -> None:
        self._purse.change(self.peer, amount - self.aside, forced=True)
        self.aside = amount

    def __enter__(self) -> Self:
        self.aside = self.need
        if not self._purse.change(self.peer, self.aside):
            raise AssertionError("credit is checked before it is set aside")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        unsigned = None if self.signed else self._unsigned(error)
        self._set_aside(0)
        self._purse.end(self, unsigned)

    def _unsigned(self, error: BaseException | None) -> Unsigned | None:
        """Nothing was got for nothing; whoever was asked for a countersignature on a living stream withheld it."""
        if self._bill is None:
            worth = self._cost(self._handed_on) if self._handed_on else 0
            return Unsigned(worth, withheld=False, reason="the stream broke off") if worth else None
        if not self._bill:
            return None
        code = error.code if isinstance(error, PeernodeError) else ""
        withheld = self.refused or code in {SILENCE, "bad_request"}
        reasons = {SILENCE: "no countersignature came in time", "bad_request": "the countersignature was false"}
        reason = reasons.get(code, "the receipt was refused" if withheld else "the stream broke off")
        return Unsigned(self._bill, withheld=withheld, reason=reason)
