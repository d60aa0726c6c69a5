"""An order: the offer that a coordinator makes to one candidate, and what it knows beside it."""

from __future__ import annotations

from dataclasses import dataclass

from peernode.chat.job_request import JobRequest
from peernode.wire.advert import ModelCard
from peernode.wire.offer import Offer


@dataclass(frozen=True, slots=True)
class Ordered:
    """What this coordinator ordered, and from which advert."""

    offer: Offer
    request: JobRequest
    card: ModelCard
