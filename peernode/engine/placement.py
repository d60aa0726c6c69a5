"""Where an engine's jobs go: to its worker, to those who wait for one, or to their end.

Owns the streams of all jobs. Whether there is a worker, and whether one may still come, it is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from peernode.chat.errors import JobError, ProviderBusy
from peernode.chat.job import ChatJob
from peernode.engine.session import WorkerSession
from peernode.engine.settings import EngineSettings
from peernode.engine.stream import EngineStream
from peernode.engine.stream_table import StreamTable
from peernode.engine.waiting import WaitingJobs


class Placement:
    """``ready`` is the worker that answers now, if any. ``unavailable`` says why there is none and none may be waited
    for, or None where waiting makes sense. ``on_use`` is called when the first job comes or the last has gone.
    """

    def __init__(
        self,
        model_id: str,
        settings: EngineSettings,
        *,
        unavailable: Callable[[], JobError | None],
        on_use: Callable[[], None],
        on_nobody: Callable[[], None],
    ) -> None:
        self.ready: WorkerSession | None = None
        self.streams = StreamTable(on_use)
        self.waiting = WaitingJobs(settings.slots + settings.queue_limit, on_nobody)
        self._model_id = model_id
        self._share_prefixes = settings.share_prefixes
        self._unavailable = unavailable

    @property
    def idle(self) -> bool:
        """No job runs or waits."""
        return not self.streams and not self.waiting

    @asynccontextmanager
    async def open(self, job: ChatJob) -> AsyncIterator[EngineStream]:
        """Run a job; leaving the context cancels it."""
        number = self.streams.new_number()
        stream = EngineStream(self._model_id, lambda: self._cancel(number, stream))
        self._place(number, job, stream)
        try:
            yield stream
        finally:
            stream.cancel()
            self.streams.remove(number)

    def hand_over(self) -> None:
        """Whoever waited goes to the worker that is ready now."""
        for number, job, stream in self.waiting.take_all():
            self._place(number, job, stream)

    def _place(self, number: int, job: ChatJob, stream: EngineStream) -> None:
        if self.ready is not None:
            refusal = self.ready.submit(number, job, share_prefixes=self._share_prefixes)
            if refusal is None:
                self.streams.add(number, stream)
        else:
            refusal = self._unavailable()
            if refusal is None and not self.waiting.add(number, job, stream):
                refusal = ProviderBusy("Too many jobs wait for this model.", remedy="Try again later.")
        if refusal is not None:
            stream.fail(refusal)

    def _cancel(self, number: int, stream: EngineStream) -> None:
        if self.waiting.remove(number):
            stream.fail(ProviderBusy("The job left before the model was loaded.", cause="cancelled"))
        elif self.ready is not None and number in self.streams:
            self.ready.cancel(number)
