"""A job stream made by a task: the producer runs in a nursery of its own and hands events over one at a time.

So a producer may hold nurseries and deadlines open between events, and leaving the stream cancels it and waits for
its (shielded, bounded) last duties.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeAlias

import trio

from peernode.chat.events import JobEvent
from peernode.chat.job import ChatJob

Emit: TypeAlias = Callable[[JobEvent], Awaitable[None]]


class Producer(Protocol):
    """Whoever can run a job in the caller's own task, without a channel between them."""

    async def produce(self, job: ChatJob, emit: Emit) -> None:
        """Emit the job's events to the last. A cancel stops the job, after its shielded, bounded last duties."""
        ...


@asynccontextmanager
async def produced(produce: Callable[[Emit], Awaitable[None]]) -> AsyncIterator[AsyncIterator[JobEvent]]:
    """The events that ``produce(emit)`` emits, in order, until it returns."""
    meeting = _Meeting()

    async def run() -> None:
        try:
            await produce(meeting.emit)
        finally:
            meeting.end()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield meeting
        nursery.cancel_scope.cancel()


class _Meeting:
    """Where producer and reader meet: ``emit`` returns when the reader has the event.

    What a memory channel without room does, except that who finds the other one waiting goes on at once. A channel lets
    him wait for his next turn, and for each token that is a round of the scheduler.
    """

    def __init__(self) -> None:
        self._offers: deque[tuple[JobEvent, trio.lowlevel.Task]] = deque()
        self._reader: trio.lowlevel.Task | None = None
        self._given: JobEvent | None = None
        self._ended = False

    def __aiter__(self) -> _Meeting:
        return self

    async def __anext__(self) -> JobEvent:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._offers:
            event, producer = self._offers.popleft()
            trio.lowlevel.reschedule(producer)
            return event
        if self._ended:
            raise StopAsyncIteration
        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._leave_reading)
        given, self._given = self._given, None
        if given is None:
            raise StopAsyncIteration
        return given

    async def emit(self, event: JobEvent) -> None:
        """Hand ``event`` over; waits for the reader if it is not waiting here."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._reader is not None:
            self._give(event)
            return
        offer = (event, trio.lowlevel.current_task())
        self._offers.append(offer)

        def leave(_: object) -> trio.lowlevel.Abort:
            self._offers.remove(offer)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(leave)

    def end(self) -> None:
        """No more events come."""
        self._ended = True
        if self._reader is not None:
            self._give(None)

    def _give(self, event: JobEvent | None) -> None:
        assert self._reader is not None
        self._given, reader, self._reader = event, self._reader, None
        trio.lowlevel.reschedule(reader)

    def _leave_reading(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED
