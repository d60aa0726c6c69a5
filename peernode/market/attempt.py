"""One provider asked for one part of an answer: what it has said so far, and what this node learns from it.

Owns the way from a provider's events to the experience that the router reads. Leaves to ``dispatch`` who hears of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from peernode.chat.errors import (
    BadRequest,
    JobError,
    NoProvider,
    NoReceipt,
    ProviderBusy,
    ProviderFailed,
    ReceiptRefused,
)
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens, Waiting
from peernode.chat.job import ChatJob
from peernode.market.experience import Experience
from peernode.market.routing.rank import Ranked
from peernode.market.routing.track_record import Sighting
from peernode.market.streaming import Producer
from peernode.wire.job_frames import LOADING


class Attempt:
    """``scope`` ends it; ``outrun``: because another, asked later, was faster. ``error`` is why it came to no end of
    its own, ``ids`` the tokens that it gave.

    ``ended`` is set with its last event; it may still have to take its leave of the provider then.
    ``first`` is called when its first words are there, and says whether they are wanted; ``heard`` with each event;
    ``told`` when it has said when the job's turn comes: at ``turn_s`` on trio's clock, in its first word ``promised_s``
    after the offer. Who takes the job without a word about that has said: now.
    """

    def __init__(
        self,
        ranked: Ranked,
        job: ChatJob,
        *,
        blocks: tuple[bytes, ...],
        experience: Experience,
        first: Callable[[Attempt], Awaitable[bool]],
        heard: Callable[[Attempt, JobEvent], Awaitable[None]],
        told: Callable[[Attempt, Waiting | None], Awaitable[None]],
    ) -> None:
        self.ranked, self.candidate, self.terms = ranked, ranked.candidate, ranked.terms
        self.job = job
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        self.ids: list[int] = []
        self.markup = ""
        self.begun = self.finished = self.over = self.outrun = False
        self.error: JobError | None = None
        self._blocks = blocks
        self._experience = experience
        self._first, self._heard, self._told = first, heard, told
        self.turn_s: float | None = None
        self.promised_s = 0.0
        self._loading = False
        self._prefill = max(experience.prompt_tokens(job) - ranked.candidate.hit_tokens, 0)
        self.sent_s, self._first_s = trio.current_time(), 0.0

    def wait_s(self) -> float:
        """What is left until the job's turn, by the provider's word."""
        return max(self.turn_s - trio.current_time(), 0.0) if self.turn_s is not None else 0.0

    async def run(self, runner: Producer) -> None:
        """Ask, and hand on what comes, to the end or until ``scope`` is cancelled."""
        self._experience.sent(self.candidate, self._blocks, self._prefill, self.sent_s)
        try:
            with self.scope:
                await runner.produce(self.job, self._take)
            if self.error is not None and self.error.retry_after_s is None and not self.begun and self.wait_s() > 0:
                self.error.retry_after_s = self.wait_s()  # it has said when it would have come to it
            if not self.over and not self.scope.cancelled_caught:
                self.error = ProviderFailed("The provider's stream stopped without an end.")
        finally:
            unread = () if self._first_s else self._blocks
            self._experience.left(self.candidate, 0 if self._first_s else self._prefill, unread)
            self.ended.set()
            if self.error is not None and not self.over:
                self._blame(self.error)
            elif self.outrun and not self.begun:
                now = trio.current_time()
                self._experience.outrun(self.candidate, now - self.sent_s, self.terms.first_token_s, now)

    async def _take(self, event: JobEvent) -> None:
        match event:
            case Started(markup=markup):
                self.markup = markup
                if self._loading:
                    self._experience.loaded(self.candidate, trio.current_time() - self.sent_s)
                if self.turn_s is None or self._loading:
                    self._loading = False
                    await self._say(None)
            case Waiting():
                await self._say(event)
            case Tokens() | Finished():
                await self._begin()
                if isinstance(event, Tokens):
                    self.ids.extend(event.ids)
                else:
                    self.finished = True
                    self._learn(event)
                await self._heard(self, event)
            case Failed(error=error):
                self.error, self.over = error, True
                if self.finished:  # the answer stands; only its receipt does not
                    # A receipt that did not come may be the network's fault, and may still come.
                    lied = isinstance(error, ReceiptRefused) and not isinstance(error, NoReceipt)
                    self._experience.cheated(self.candidate, trio.current_time(), lied=lied)
                    await self._heard(self, event)
                else:
                    self._blame(error)  # now: whom to ask next depends on it
                self.ended.set()
            case Receipted():
                self.over = True
                self._experience.breakers.of(self.candidate.peer).succeeded()
                self._experience.repute.served(self.candidate.peer)
                await self._heard(self, event)
                self.ended.set()
                self.scope.cancel()

    async def _say(self, waiting: Waiting | None) -> None:
        """The provider's word about when the job's turn comes; None for now."""
        now, eta_s = trio.current_time(), waiting.eta_s if waiting else 0.0
        self._loading = waiting is not None and waiting.reason == LOADING
        self._experience.told(self.candidate, eta_s, now, loading=self._loading)
        if self.turn_s is None:
            self.promised_s = eta_s
        self.turn_s = now + eta_s
        await self._told(self, waiting)

    async def _begin(self) -> None:
        if self.begun:
            return
        self.begun = True
        self._first_s = trio.current_time()
        self._experience.begun(self.candidate, self._prefill)
        if not await self._first(self):
            self.scope.cancel()
            await trio.lowlevel.checkpoint()  # raises: another was faster

    def _learn(self, event: Finished) -> None:
        if event.reason == "cancelled":
            return
        usage, ended = event.usage, trio.current_time()
        seen = Sighting(
            usage.prompt_tokens,
            usage.cached_tokens,
            len(self.ids),
            self._first_s - self.sent_s,
            ended - self.sent_s,
            beside=max(self.candidate.slots - self.candidate.free_slots, self.candidate.in_flight),
            queue_s=max(self.terms.queue_s, self.promised_s),
            expected_first_s=self.terms.first_token_s,
            at_s=ended,
        )
        self._experience.saw(self.candidate, seen, self._blocks)

    def _blame(self, error: JobError) -> None:
        """Only what the provider is at fault for counts against it."""
        self._experience.repute.failed(self.candidate.peer, error, self.job.request_id)
        if isinstance(error, (BadRequest, ProviderBusy, NoProvider)):
            self._experience.refused(self.candidate, trio.current_time(), error.retry_after_s or 0.0)
        else:
            self._experience.cheated(self.candidate, trio.current_time(), lied=False)
