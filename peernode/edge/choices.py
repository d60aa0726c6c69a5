"""The jobs behind one answer, run side by side: what happens in each, as one stream, in order of arrival."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

import trio

from peernode.chat.events import Failed, JobEvent, Receipted
from peernode.chat.job import ChatJob, JobRunner

# (index of the job, its event); an exception is a defect of the runner, and the end of that job alone.
Happening: TypeAlias = tuple[int, JobEvent | Exception]


@asynccontextmanager
async def side_by_side(runner: JobRunner, jobs: Sequence[ChatJob]) -> AsyncIterator[AsyncIterator[Happening]]:
    """Every job's events up to its end. Leaving the context cancels what still runs."""
    if len(jobs) == 1:
        async with runner.open(jobs[0]) as events:
            yield _Sole(events)
        return
    sender, receiver = trio.open_memory_channel[Happening](0)

    async def run(index: int) -> None:
        try:
            async with runner.open(jobs[index]) as events:
                async for event in events:
                    await sender.send((index, event))
                    if isinstance(event, (Receipted, Failed)):
                        return
            raise AssertionError("a job stream stopped without its last event")
        except Exception as err:  # noqa: BLE001  # it ends this choice, and the others go on
            await sender.send((index, err))

    async with trio.open_nursery() as nursery:
        for index in range(len(jobs)):
            nursery.start_soon(run, index)
        yield receiver
        nursery.cancel_scope.cancel()


class _Sole:
    """One job alone needs no task and no channel."""

    def __init__(self, events: AsyncIterator[JobEvent]) -> None:
        self._events = events

    def __aiter__(self) -> _Sole:
        return self

    async def __anext__(self) -> Happening:
        return 0, await anext(self._events)
