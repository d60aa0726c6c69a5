"""How long each party waits for the other, in seconds; and how far it trusts it, in tokens."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from peernode.chat.errors import DeadlineExceeded, FirstTokenTimeout, JobError, ProviderFailed
from peernode.chat.job import ChatJob

DIAL_S = 5.0
OFFER_S = 10.0  # provider: from the stream's opening to the offer
ACCEPT_S = 10.0  # coordinator: from the offer to accept or busy
STALL_S = 30.0  # coordinator: between two token frames, at most
RECEIPT_S = 10.0  # coordinator: from the end of the answer to its receipt
COUNTERSIGN_S = 15.0  # provider: from the receipt to its countersignature
END_S = 5.0  # coordinator: from the countersignature to the provider's word that it is durable
ACK_S = 10.0  # provider: for an acknowledgement, once it has sent as much as it may without one
LAST_DUTIES_S = 5.0  # after the client left: to collect the receipt for what was sent

ACK_EVERY = 128  # coordinator: tokens from one acknowledgement to the next
MOST_UNACKNOWLEDGED = 256  # provider: tokens that it sends beyond the last one; coordinator: that it pays for unseen


@dataclass(frozen=True, slots=True)
class Patience:
    """The deadlines of one running job, on trio's clock; ``began`` is when it was opened."""

    began: float
    first_token_s: float
    total_s: float
    stall_s: float

    @classmethod
    def of(cls, job: ChatJob, *, began: float) -> Patience:
        return cls(began, job.first_token_s, job.total_s, job.stall_s)

    def until(self, *, now: float, begun: bool) -> float:
        """The moment by which the next event must be here."""
        end = self.began + self.total_s
        return min(end, now + self.stall_s if begun else self.began + self.first_token_s)

    def too_late(self, *, now: float, begun: bool) -> JobError:
        """Which patience ran out."""
        if not begun:
            return FirstTokenTimeout("No first token came in time.", cause=f"waited {now - self.began:.1f} s")
        if now >= self.began + self.total_s:
            return DeadlineExceeded("The job's total time ran out.", cause=f"{self.total_s:.0f} s are allowed")
        return ProviderFailed("The provider went silent in the middle of its answer.", cause=f"{self.stall_s:.0f} s")


def last_duties() -> trio.CancelScope:
    """A scope for what must still be done when the job was cancelled: shielded, and over after LAST_DUTIES_S."""
    return trio.CancelScope(deadline=trio.current_time() + LAST_DUTIES_S, shield=True)
