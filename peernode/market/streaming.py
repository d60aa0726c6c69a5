"""A job stream made by a task: the producer runs in a nursery of its own and hands events over one at a time.

So a producer may hold nurseries and deadlines open between events, and leaving the stream cancels it and waits for
its (shielded, bounded) last duties.
"""

from __future__ import annotations

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
    sender, receiver = trio.open_memory_channel[JobEvent](0)

    async def run() -> None:
        async with sender:
            await produce(sender.send)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield receiver
        nursery.cancel_scope.cancel()
