"""Engines for tests: started, ready, and ended for certain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from peernode.engine import Engine, EngineSettings

READY_WITHIN_S = 60.0


@asynccontextmanager
async def running(path: Path, settings: EngineSettings) -> AsyncIterator[Engine]:
    """An engine that supervises its worker for as long as the context lasts."""
    engine = Engine("test-model", path, settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        try:
            yield engine
        finally:
            nursery.cancel_scope.cancel()


@pytest.fixture
def ready_engine(nursery: trio.Nursery) -> Callable[..., Awaitable[Engine]]:
    """``await ready_engine(path, slots=2, …)`` gives an engine that answers."""

    async def start(path: Path, **settings: object) -> Engine:
        engine = Engine("test-model", path, EngineSettings(**{"context": 1024, **settings}))
        await nursery.start(engine.run)
        with trio.fail_after(READY_WITHIN_S):
            await engine.wait_ready()
        return engine

    return start
