"""One node's memory for all its models: who has reserved how much, who loads next, and who must go to make room.

Loads are planned one after the other, so that no two models count the same free memory. Where a model does not fit,
idle ones that may be unloaded go first, the least recently used before the others. Knows nothing of workers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import structlog
import trio

from peernode.engine.machine import available_memory

log = structlog.get_logger(__name__)


class Tenant(Protocol):
    """A model that takes memory. ``last_used`` is on any clock that all tenants share."""

    @property
    def model_id(self) -> str: ...
    @property
    def evictable(self) -> bool:
        """Loaded, and allowed to be unloaded sooner or later."""
        ...

    @property
    def idle(self) -> bool:
        """No job runs or waits."""
        ...

    @property
    def last_used(self) -> float: ...
    @property
    def wanted(self) -> bool:
        """Somebody still wants this model to be loaded."""
        ...

    def unload(self) -> None:
        """Begin to give the memory back."""
        ...


class Room:
    """What one load may take: ``available`` bytes, None where nobody knows."""

    def __init__(self, available: int | None, settle: Callable[[int, int], None]) -> None:
        self.available = available
        self._settle = settle

    def settle(self, reserved: int, mapped: int) -> None:
        """The load is done: it takes ``reserved`` bytes of the machine's memory, ``mapped`` of them from its file."""
        self._settle(reserved, mapped)


class MemoryBudget:
    """``limit`` bounds all models together, in bytes; ``available`` says what the machine has left."""

    def __init__(self, *, limit: int | None = None, available: Callable[[], int | None] = available_memory) -> None:
        self._limit = limit
        self._available = available
        self._tenants: dict[Tenant, tuple[int, int]] = {}
        self._turn = trio.Semaphore(1)
        self._changed = trio.Event()

    def free(self) -> int | None:
        """Bytes that a model to be loaded now could have; None where nobody knows."""
        held = sum(reserved for reserved, _ in self._tenants.values())
        # What others have mapped counts as free for the system, but they need it.
        mapped = sum(mapped for _, mapped in self._tenants.values())
        found = self._available()
        left = [] if self._limit is None else [self._limit - held]
        left += [] if found is None else [found - mapped]
        return max(0, min(left)) if left else None

    def wake(self) -> None:
        """Somebody became idle, or is not wanted any more."""
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    @asynccontextmanager
    async def room_for(self, tenant: Tenant, need: int) -> AsyncIterator[Room | None]:
        """Room for as long as the context lasts; None when nobody wants the model any more.

        Others load only after ``settle`` or the context's end. ``need`` is what it would like; where nothing can be
        unloaded for it, it gets what there is.
        """
        if not await self._make_room(tenant, need):
            yield None
            return
        loading = True

        def settle(reserved: int, mapped: int) -> None:
            nonlocal loading
            self._tenants[tenant] = (reserved, mapped)
            if loading:
                loading = False
                self._turn.release()

        try:
            yield Room(self.free(), settle)
        finally:
            self._tenants.pop(tenant, None)
            if loading:
                self._turn.release()
            self.wake()

    def evict_for(self, tenant: Tenant) -> bool:
        """Have the least recently used idle model unloaded; False when there is none."""
        idle = [other for other in self._evictable(tenant) if other.idle]
        if not idle:
            return False
        oldest = min(idle, key=lambda other: other.last_used)
        log.info("model_makes_room", model=oldest.model_id, wanted=tenant.model_id)
        oldest.unload()
        return True

    async def evict_and_wait(self, tenant: Tenant) -> bool:
        """The same, and wait until something has changed."""
        changed = self._changed
        if not self.evict_for(tenant):
            return False
        await changed.wait()
        return True

    async def _make_room(self, tenant: Tenant, need: int) -> bool:
        """Returns with this tenant's turn to load taken, or False without it."""
        while tenant.wanted:
            await self._turn.acquire()
            changed = self._changed
            free = self.free()
            if free is None or need <= free:
                return True
            evicted = self.evict_for(tenant)
            if not evicted and not self._evictable(tenant):
                return True
            # Others that fit may load meanwhile; who was told to go, or comes to rest, wakes us.
            self._turn.release()
            await changed.wait()
        return False

    def _evictable(self, tenant: Tenant) -> list[Tenant]:
        return [other for other in self._tenants if other is not tenant and other.evictable]
