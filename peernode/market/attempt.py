"""One provider asked for one part of an answer: what it has said so far, and what this node learns from it.

Owns the way from a provider's events to the experience that the router reads. Leaves to ``dispatch`` who hears of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from peernode.chat.errors import BadRequest, JobError, NoProvider, ProviderBusy, ProviderFailed, ReceiptRefused
from peernode.chat.events import Failed, Finished, JobEvent, Receipted, Started, Tokens
from peernode.chat.job import ChatJob
from peernode.market.experience import Experience
from peernode.market.routing.rank import Ranked
from peernode.market.routing.track_record import Sighting
from peernode.market.streaming import Producer


class Attempt:
    """``scope`` ends it; ``outrun``: because another, asked later, was faster. ``error`` is why it came to no end of
    its own, ``ids`` the tokens that it gave.

    ``ended`` is set with its last event; it may still have to take its leave of the provider then.
    ``first`` is called when its first words are there, and says whether they are wanted; ``heard`` with each event.
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
    ) -> None:
        self.candidate, self.terms = ranked.candidate, ranked.terms
        self.job = job
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        self.ids: list[int] = []
        self.markup = ""
        self.begun = self.finished = self.over = self.outrun = False
        self.error: JobError | None = None
        self._blocks = blocks
        self._experience = experience
        self._first, self._heard = first, heard
        self._prefill = max(experience.prompt_tokens(job) - ranked.candidate.hit_tokens, 0)
        self.sent_s, self._first_s = trio.current_time(), 0.0

    async def run(self, runner: Producer) -> None:
        """Ask, and hand on what comes, to the end or until ``scope`` is cancelled."""
        self._experience.sent(self.candidate, self._blocks, self._prefill, self.sent_s)
        try:
            with self.scope:
                await runner.produce(self.job, self._take)
            if not self.over and not self.scope.cancelled_caught:
                self.error = ProviderFailed("The provider's stream stopped without an end.")
        finally:
            self._experience.left(self.candidate, self._prefill if not self._first_s else 0)
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
                    self._experience.cheated(
                        self.candidate, trio.current_time(), lied=isinstance(error, ReceiptRefused)
                    )
                    await self._heard(self, event)
                else:
                    self._blame(error)  # now: whom to ask next depends on it
                self.ended.set()
            case Receipted():
                self.over = True
                self._experience.kept_its_word(self.candidate)
                await self._heard(self, event)
                self.ended.set()
                self.scope.cancel()

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
            queue_s=self.terms.queue_s,
            expected_first_s=self.terms.first_token_s,
            at_s=ended,
        )
        self._experience.saw(self.candidate, seen, self._blocks)

    def _blame(self, error: JobError) -> None:
        """Only what the provider is at fault for counts against it."""
        if isinstance(error, (BadRequest, ProviderBusy, NoProvider)):
            self._experience.refused(self.candidate, trio.current_time())
        else:
            self._experience.cheated(self.candidate, trio.current_time(), lied=False)
