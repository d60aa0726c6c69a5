"""A job, and the one interface behind which it runs: here, on a peer, or on several one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from peernode.chat.events import JobEvent
from peernode.chat.job_request import JobRequest
from peernode.chat.wishes import NO_WISHES, Wishes
from peernode.wire import canonical

SEED_MASK = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class ChatJob:
    """One part of one request. ``model`` is the name the client asked for; ``seed`` a 63-bit integer.

    ``first_token_s`` and ``total_s`` are the seconds allowed, from opening, to the first token and to the
    end, ``stall_s`` those between two tokens.
    ``continue_from`` holds output token ids that an earlier part already delivered. ``payer`` says on whose account
    the job runs: engines are fair between payers and share no cached prefixes between them. ``wishes`` are how the
    client wants its provider chosen; no provider hears of them. ``explain`` asks to be told how it was. ``dialect`` and
    ``streamed`` are how it was asked for, for the payer's own records. ``may_be_shortened``: a conversation that is too
    long loses its middle; ``transformed``: it has lost it.
    """

    request_id: str
    model: str
    request: JobRequest
    seed: int
    part: int = 0
    max_credits: int | None = None
    first_token_s: float = 60.0
    total_s: float = 600.0
    stall_s: float = 30.0
    continue_from: tuple[int, ...] = ()
    payer: str = ""
    wishes: Wishes = NO_WISHES
    explain: bool = False
    dialect: str = ""
    streamed: bool = False
    may_be_shortened: bool = False
    transformed: bool = False


def seed_of_choice(seed: int, index: int) -> int:
    """The seed of one choice of several: the first has the answer's own, the others what follows from it."""
    if index == 0:
        return seed
    return int.from_bytes(canonical.digest(canonical.encode([seed, index]))[:8], "big") & SEED_MASK


class JobRunner(Protocol):
    """Whoever can run a job. ``open`` yields the job's events; leaving the context cancels what still runs.

    A stream ends with exactly one ``Receipted`` or ``Failed`` and nothing after it (see ``peernode.chat.contract``).
    Failures are events, never exceptions; only programming errors are raised.
    """

    def open(self, job: ChatJob) -> AbstractAsyncContextManager[AsyncIterator[JobEvent]]: ...
