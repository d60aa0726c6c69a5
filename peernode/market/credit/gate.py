"""What a provider asks before it takes a job from another node, and tells as the job goes; ``lines`` is the real one.

``NoLimits`` gives credit to anybody, for tests of other things.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from peernode.chat.job_request import JobRequest
from peernode.wire.countersignature import SignedCountersignature
from peernode.wire.offer import Offer
from peernode.wire.receipt import SignedReceipt

# In front of the cause of a busy frame that speaks of credit; coordinators know it by that.
CREDIT = "credit"


class CreditHold(Protocol):
    """Credit set aside for one running job; leaving the context gives back what was signed for, and notes the rest."""

    def covers(self, completion_tokens: int) -> bool:
        """Whether so many tokens of completion may be handed on; sets more aside if need be."""
        ...

    def metered(self, prompt_tokens: int, cached_tokens: int) -> None:
        """The prompt was counted: what was set aside for it shrinks to what it costs."""
        ...

    def billed(self, amount: int) -> None:
        """A receipt over ``amount`` is on its way; nothing more will be asked for."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class CreditGate(Protocol):
    """Decides who gets service on credit."""

    def check(self, offer: Offer, request: JobRequest, context_length: int) -> None:
        """Raises ProviderBusy, its cause beginning with ``CREDIT``, when the offer's coordinator has no credit left."""
        ...

    def reserve(self, offer: Offer, request: JobRequest, context_length: int) -> CreditHold:
        """Set credit aside. To be entered at once. Raises as ``check`` does."""
        ...

    def countersigned(self, receipt: SignedReceipt, made: SignedCountersignature) -> None:
        """A countersignature is durable here, by whichever way it came; the same one again changes nothing."""
        ...

    def refused(self, receipt: SignedReceipt) -> None:
        """The coordinator got this receipt and will not sign for it."""
        ...

    def short_voucher(self, receipt: SignedReceipt, made: SignedCountersignature) -> None:
        """A voucher came whose total is less than what its signer owes."""
        ...


class _NoHold:
    def covers(self, completion_tokens: int) -> bool:
        return True

    def metered(self, prompt_tokens: int, cached_tokens: int) -> None:
        pass

    def billed(self, amount: int) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class NoLimits:
    """Everybody may owe anything."""

    def check(self, offer: Offer, request: JobRequest, context_length: int) -> None:
        pass

    def reserve(self, offer: Offer, request: JobRequest, context_length: int) -> CreditHold:
        return _NoHold()

    def countersigned(self, receipt: SignedReceipt, made: SignedCountersignature) -> None:
        pass

    def refused(self, receipt: SignedReceipt) -> None:
        pass

    def short_voucher(self, receipt: SignedReceipt, made: SignedCountersignature) -> None:
        pass
