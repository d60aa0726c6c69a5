"""How many jobs run, and a way to await that none does: what a drain waits for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class JobCount:
    """Counts the jobs inside ``one``."""

    def __init__(self) -> None:
        self.running = 0
        self._idle = trio.Event()
        self._idle.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """A job runs inside this context."""
        if self.running == 0:
            self._idle = trio.Event()
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            if self.running == 0:
                self._idle.set()

    async def wait_idle(self) -> None:
        """Return when no job runs."""
        while self.running:
            await self._idle.wait()
