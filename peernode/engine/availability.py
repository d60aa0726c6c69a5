"""Whether an engine can take jobs, and how others learn that this has changed."""

from __future__ import annotations

from typing import Literal, TypeAlias

import trio

from peernode.engine.errors import EngineStopped, ModelLoadFailed

EngineState: TypeAlias = Literal["unloaded", "loading", "ready", "restarting", "failed", "stopped"]


class Availability:
    """``version`` grows with every change, so that a waiter who looks late misses none."""

    def __init__(self) -> None:
        self.state: EngineState = "loading"
        self.failure: ModelLoadFailed | None = None
        self.version = 0
        self._changed = trio.Event()

    def enter(self, state: EngineState) -> None:
        if state != self.state:
            self.state = state
            self.wake()

    def fail(self, failure: ModelLoadFailed) -> None:
        self.failure = failure
        self.enter("failed")

    def wake(self) -> None:
        """Tell every waiter that something is different now."""
        self.version += 1
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    async def wait_change(self, since: int) -> int:
        """Wait until ``version`` is not ``since``; returns it."""
        while self.version == since:
            await self._changed.wait()
        return self.version

    async def wait_ready(self) -> None:
        """Raises ModelLoadFailed or EngineStopped when it will not come to that."""
        while self.state != "ready":
            if self.failure is not None:
                raise self.failure
            if self.state == "stopped":
                raise EngineStopped("The engine has stopped.")
            await self._changed.wait()
