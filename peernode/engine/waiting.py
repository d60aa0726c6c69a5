"""Jobs that came before their model was loaded: each waits until its first-token deadline, and no longer.

Owns who waits and for how long; leaves the loading to others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import trio

from peernode.chat.errors import FirstTokenTimeout, JobError
from peernode.chat.job import ChatJob
from peernode.engine.stream import EngineStream


@dataclass(frozen=True, slots=True)
class _Waiter:
    job: ChatJob
    stream: EngineStream
    deadline: float


class WaitingJobs:
    """At most ``most`` at once. ``on_empty`` is called when the last one has gone."""

    def __init__(self, most: int, on_empty: Callable[[], None] = lambda: None) -> None:
        self._most = most
        self._on_empty = on_empty
        self._waiting: dict[int, _Waiter] = {}
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, number: int, job: ChatJob, stream: EngineStream) -> bool:
        """False when there is no place."""
        if len(self._waiting) >= self._most:
            return False
        self._waiting[number] = _Waiter(job, stream, trio.current_time() + job.first_token_s)
        self._change()
        return True

    def remove(self, number: int) -> bool:
        """Whether it was here."""
        if self._waiting.pop(number, None) is None:
            return False
        if not self._waiting:
            self._on_empty()
        return True

    def take_all(self) -> list[tuple[int, ChatJob, EngineStream]]:
        """Everybody, in the order in which they came; nobody waits afterwards."""
        taken = [(number, waiter.job, waiter.stream) for number, waiter in self._waiting.items()]
        self._waiting.clear()
        return taken

    def fail_all(self, error: JobError) -> None:
        for _, _, stream in self.take_all():
            stream.fail(error)
        self._on_empty()

    async def wait_any(self) -> None:
        """Until somebody waits."""
        while not self._waiting:
            await self._changed.wait()

    async def expire(self) -> None:
        """End each job at its deadline, until cancelled."""
        while True:
            due = min((waiter.deadline for waiter in self._waiting.values()), default=math.inf)
            with trio.move_on_at(due) as pause:
                await self._changed.wait()
            if pause.cancelled_caught:
                self._end_late()

    def _end_late(self) -> None:
        now = trio.current_time()
        for number, waiter in [entry for entry in self._waiting.items() if entry[1].deadline <= now]:
            waiter.stream.fail(
                FirstTokenTimeout(
                    "The model was not loaded in time.",
                    cause=f"waited {waiter.job.first_token_s:.1f} s",
                    remedy="Try again: the load goes on.",
                )
            )
            self.remove(number)

    def _change(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()
