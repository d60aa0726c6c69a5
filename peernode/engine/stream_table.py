"""The event streams of one engine's running jobs, by the number each job has at the worker.

Owns the numbers, and who gets which report of the worker. Whether anything runs at all is an event that can be awaited.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from peernode.chat.errors import JobError
from peernode.engine.protocol import Accepted, Refused, Step
from peernode.engine.stream import EngineStream


class StreamTable:
    """``on_change`` is called whenever the first job comes or the last one has gone."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self._streams: dict[int, EngineStream] = {}
        self._next = 0
        self._on_change = on_change
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, number: int) -> bool:
        return number in self._streams

    def new_number(self) -> int:
        """One that no job has had."""
        self._next += 1
        return self._next

    def add(self, number: int, stream: EngineStream) -> None:
        self._streams[number] = stream
        if len(self._streams) == 1:
            self._change()

    def remove(self, number: int) -> None:
        """Does nothing for a job that is not, or no longer, here."""
        if self._streams.pop(number, None) is not None and not self._streams:
            self._change()

    def accepted(self, report: Accepted) -> None:
        if (stream := self._streams.get(report.job)) is not None:
            stream.accepted(report)

    def refused(self, report: Refused) -> None:
        if (stream := self._streams.get(report.job)) is not None:
            stream.refused(report)
            self.remove(report.job)

    def take(self, step: Step) -> None:
        """Hand each output to its stream; one whose reader left is passed over, for its cancellation is on its way."""
        for output in step.outputs:
            stream = self._streams.get(output.job)
            if stream is None:
                continue
            stream.output(output, step.number)
            if stream.ended:
                self.remove(output.job)

    def end_all(self, end: Callable[[EngineStream], None]) -> None:
        """``end`` every stream; the worker has died or will not take the jobs."""
        for number, stream in list(self._streams.items()):
            end(stream)
            self.remove(number)

    def fail_all(self, error: JobError) -> None:
        self.end_all(lambda stream: stream.fail(error))

    async def wait_busy(self) -> None:
        """Until some job is here."""
        while not self._streams:
            await self._changed.wait()

    async def wait_idle(self) -> None:
        """Until no job is here."""
        while self._streams:
            await self._changed.wait()

    def _change(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()
        self._on_change()
