"""Jobs that may be shortened to fit: run, and where the provider says that the prompt is too long, run again shorter.

Only the provider counts tokens, so it decides. Nothing is owed for a prompt that was refused. The offer and the receipt
of a shorter one say that it was transformed.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import structlog
import trio

from peernode.chat.errors import ContextTooLong
from peernode.chat.events import Failed, JobEvent, Started, Tokens
from peernode.chat.job import ChatJob, JobRunner
from peernode.chat.middle_out import middle_out
from peernode.chat.request import ChatRequest
from peernode.market.routing.demand import USUAL_COMPLETION
from peernode.market.streaming import Emit, produced

MAX_TIMES = 6
# Tokens are not spread evenly over the text.
MARGIN = 0.95
_COUNTED = re.compile(r"(\d{1,9}) tokens, the context holds (\d{1,9})")
log = structlog.get_logger(__name__)


class FittingRunner:
    """JobRunner that shortens jobs that ``may_be_shortened``; others pass."""

    def __init__(self, runner: JobRunner) -> None:
        self._runner = runner

    def open(self, job: ChatJob) -> AbstractAsyncContextManager[AsyncIterator[JobEvent]]:
        if not job.may_be_shortened or not isinstance(job.request, ChatRequest):
            return self._runner.open(job)
        return produced(lambda emit: self._produce(job, emit))

    async def _produce(self, job: ChatJob, emit: Emit) -> None:
        begun_at = trio.current_time()
        for times in range(MAX_TIMES):
            spent = trio.current_time() - begun_at
            left = replace(job, first_token_s=max(0.0, job.first_token_s - spent), total_s=job.total_s - spent)
            shorter = await self._attempt(left, emit, last=times == MAX_TIMES - 1)
            if shorter is None:
                return
            job = replace(job, request=shorter, transformed=True)
            log.info("conversation_shortened", messages=len(shorter.messages), times=times + 1)

    async def _attempt(self, job: ChatJob, emit: Emit, *, last: bool) -> ChatRequest | None:
        """Relay the job; the shorter request to run instead, if the whole is to be tried again."""
        started: Started | None = None
        begun = False
        async with self._runner.open(job) as events:
            async for event in events:
                if isinstance(event, Failed) and isinstance(event.error, ContextTooLong) and not (begun or last):
                    assert isinstance(job.request, ChatRequest)
                    shorter = middle_out(job.request, _share(event.error, job.request))
                    if shorter is not None:
                        return shorter
                if isinstance(event, Started) and not begun:
                    started = event  # only the first tokens say that it fits
                    continue
                if started is not None:
                    await emit(started)
                    started = None
                begun = begun or isinstance(event, Tokens)
                await emit(event)
        return None


def _share(error: ContextTooLong, request: ChatRequest) -> float:
    """What share of the prompt fits beside an answer, as far as the error tells."""
    found = _COUNTED.search(error.cause)
    if found is None:
        return 0.5
    prompt, context = int(found[1]), int(found[2])
    answer = min(request.max_tokens or USUAL_COMPLETION, context // 2)
    return max(0.0, MARGIN * (context - answer) / max(prompt, 1))
