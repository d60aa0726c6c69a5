"""One timer for the many deadlines of a conversation, of which hardly any is ever reached.

A cancel scope for each wait costs more than the wait is about. Here a deadline is a number that moves; the timer wakes
where it once stood, looks where it stands now, and sleeps again.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio


class DeadlineTimer:
    """Calls ``ring`` when ``due`` has passed; its task lives in ``nursery`` from the first deadline until ``stop``.

    Deadlines are moments on trio's clock. A deadline that rang is over; set the next one.
    """

    def __init__(self, nursery: trio.Nursery, ring: Callable[[], None]) -> None:
        self._nursery = nursery
        self._ring = ring
        self._due = self._wakes = math.inf
        self._sleep = trio.CancelScope()
        self._running = self._stopped = False

    def set(self, due: float) -> None:
        """Move the deadline to ``due``; infinity for none."""
        self._due = due
        if due >= self._wakes or self._stopped:
            return
        self._wakes = self._sleep.deadline = due
        if not self._running:
            self._running = True
            self._nursery.start_soon(self._run)

    def stop(self) -> None:
        """Never ring again."""
        self._stopped = True
        self._due = math.inf
        self._sleep.cancel()

    async def _run(self) -> None:
        while not self._stopped:
            with self._sleep:
                await trio.sleep(math.inf)
            due = self._due
            if due <= trio.current_time():
                due = self._due = math.inf
                self._wakes = math.inf
                self._sleep = trio.CancelScope()
                self._ring()
                continue
            self._wakes = due
            self._sleep = trio.CancelScope(deadline=due)
