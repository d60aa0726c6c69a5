"""The event stream of one job: reports of the worker in, ``JobEvent``s out.

Owns the order of events and their end. The channel is unbounded because a job's tokens are, by ``max_tokens``; a
slow reader must not hold up the one wake-up per step that serves everybody.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from peernode.chat.errors import (
    BadRequest,
    ContextTooLong,
    EngineCrashed,
    JobError,
    ProviderBusy,
    ProviderFailed,
)
from peernode.chat.events import Failed, Finished, JobEvent, Started, Tokens, Usage
from peernode.engine.protocol import Accepted, Output, Refused

_REFUSALS: dict[str, type[JobError]] = {kind.code: kind for kind in (BadRequest, ContextTooLong, ProviderBusy)}


class EngineStream:
    """An async iterator of events. ``cancel`` ends it gracefully: ``Finished("cancelled")`` covers what was sent.

    ``prefill`` is known with the first tokens: what the prompt took. ``freed_at_step`` is the number of the last decode
    step before the job's slot was free again.
    """

    def __init__(self, model_id: str, send_cancel: Callable[[], None]) -> None:
        self._model_id = model_id
        self._send_cancel = send_cancel
        self._events, self._incoming = trio.open_memory_channel[JobEvent](math.inf)
        self._cancelled = False
        self.ended = False
        self.prefill: Usage | None = None
        self.freed_at_step: int | None = None

    def __aiter__(self) -> EngineStream:
        return self

    async def __anext__(self) -> JobEvent:
        try:
            return await self._incoming.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    def cancel(self) -> None:
        """Ask the worker to stop here; keep reading to get the end. Does nothing after the end."""
        if not self._cancelled and not self.ended:
            self._cancelled = True
            self._send_cancel()

    def fail(self, error: JobError) -> None:
        if not self.ended:
            self._end(Failed(error))

    def crash(self, cause: str) -> None:
        self.fail(EngineCrashed("The engine died while it worked on this job.", cause=cause, remedy="Try again."))

    def accepted(self, report: Accepted) -> None:
        self._events.send_nowait(Started("", self._model_id, report.markup))

    def refused(self, report: Refused) -> None:
        kind = _REFUSALS.get(report.code, ProviderFailed)
        error = kind(report.sentence, cause=report.cause, remedy=report.remedy)
        if isinstance(error, BadRequest):
            error.param = report.param or None
        self._end(Failed(error))

    def output(self, output: Output, step: int) -> None:
        if output.prompt_tokens and self.prefill is None:
            self.prefill = Usage(output.prompt_tokens, 0, output.cached_tokens)
        if output.ids or output.text:
            self._events.send_nowait(Tokens(output.text, tuple(output.ids), tuple(output.logprobs)))
        if not output.end:
            return
        self.freed_at_step = step
        if output.end == "error":
            self._end(Failed(ProviderFailed("The engine could not decode this job.", cause=output.cause)))
        else:
            usage = Usage(output.prompt_tokens, output.completion_tokens, output.cached_tokens)
            self._end(Finished(output.end, usage))

    def _end(self, last: JobEvent) -> None:
        self.ended = True
        self._events.send_nowait(last)
        self._events.close()
