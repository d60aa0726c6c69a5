"""What happens in a job, in order: Started, Tokens…, Finished, and then Receipted; or Failed at any point.

``Waiting`` may come before the first tokens of each part, again and again.

A ``Failed`` after ``Finished`` means that the answer stands and only its receipt does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from peernode.chat.errors import JobError
from peernode.chat.fee_share import NO_FEE, FeeShare
from peernode.chat.route import Route
from peernode.wire.countersignature import SignedCountersignature
from peernode.wire.logprobs import Logprobs
from peernode.wire.prices import Prices
from peernode.wire.receipt import SignedReceipt


@dataclass(frozen=True, slots=True)
class Usage:
    """Metered tokens; ``cached_tokens`` is the part of ``prompt_tokens`` that needed no new computation."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    """A provider (a peer id; empty inside the engine) took the job with this model.

    ``markup`` says in which notation the model writes calls and thoughts, for whoever reads them out of its text.
    ``route`` is how it was chosen, if the job asks for an explanation; ``prices`` are those of the offer, if known.
    """

    provider: str
    model_id: str
    markup: str = ""
    route: Route | None = None
    prices: Prices | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The job's turn comes in about ``eta_s``; it is ``queued``, or its model is ``loading``."""

    reason: str
    eta_s: float


@dataclass(frozen=True, slots=True)
class Tokens:
    """New output. Text may lag behind the ids: half a character or a possible stop string is held back.

    ``logprobs`` go with the ids, one entry each, if the request asked for them; else there are none.
    """

    text: str
    ids: tuple[int, ...]
    logprobs: tuple[Logprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete. ``reason`` is stop, length, or cancelled."""

    reason: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Receipted:
    """The receipt is checked, countersigned and durable on this node; the end of the stream.

    ``fee`` is what this node's client pays on top of each receipt of the answer.
    """

    receipt: SignedReceipt
    countersignature: SignedCountersignature
    fee: FeeShare = NO_FEE


@dataclass(frozen=True, slots=True)
class Failed:
    """The typed end of a stream that has no receipt."""

    error: JobError


JobEvent: TypeAlias = Started | Waiting | Tokens | Finished | Receipted | Failed
