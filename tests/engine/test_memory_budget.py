"""The node's memory: who may load when, and who goes first; without any worker."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from peernode.engine.memory_budget import MemoryBudget


class Model:
    """A tenant that is what the test says it is."""

    def __init__(self, name: str, *, evictable: bool = True, last_used: float = 0.0) -> None:
        self.model_id = name
        self.evictable = evictable
        self.last_used = last_used
        self.idle = True
        self.wanted = True
        self.told = trio.Event()

    def unload(self) -> None:
        self.told.set()


def budget_of(limit: int) -> MemoryBudget:
    return MemoryBudget(limit=limit, available=lambda: None)


async def loaded(stack: AsyncExitStack, budget: MemoryBudget, model: Model, size: int, mapped: int = 0) -> None:
    room = await stack.enter_async_context(budget.room_for(model, size))
    assert room is not None
    room.settle(size, mapped)


async def test_loads_are_planned_one_after_the_other(nursery: trio.Nursery) -> None:
    budget = budget_of(100)
    first = budget.room_for(Model("first"), 60)
    room = await first.__aenter__()
    assert room is not None
    assert room.available == 100
    seen: list[int | None] = []

    async def load_second() -> None:
        async with budget.room_for(Model("second"), 30) as other:
            assert other is not None
            seen.append(other.available)

    nursery.start_soon(load_second)
    await wait_all_tasks_blocked()
    assert seen == []
    room.settle(60, 0)
    await wait_all_tasks_blocked()
    assert seen == [40]
    await first.__aexit__(None, None, None)
    assert budget.free() == 100


async def test_a_load_that_fails_lets_the_next_one_go() -> None:
    budget = budget_of(100)
    with pytest.raises(OSError, match="no worker"):
        async with budget.room_for(Model("first"), 60):
            raise OSError("no worker")
    with trio.fail_after(1):
        async with budget.room_for(Model("second"), 60) as room:
            assert room is not None
            assert room.available == 100


async def test_mapped_weights_count_although_the_system_calls_them_free() -> None:
    budget = MemoryBudget(available=lambda: 100)
    async with AsyncExitStack() as stack:
        await loaded(stack, budget, Model("first"), 50, mapped=30)
        assert budget.free() == 70
    assert budget.free() == 100


async def test_the_least_recently_used_goes_first_and_is_waited_for(nursery: trio.Nursery) -> None:
    budget = budget_of(100)
    old, new, busy = Model("old", last_used=1), Model("new", last_used=2), Model("busy", last_used=0)
    busy.idle = False
    async with AsyncExitStack() as stack:
        await loaded(stack, budget, busy, 20)
        await loaded(stack, budget, new, 30)
        leaving = await stack.enter_async_context(AsyncExitStack())
        await loaded(leaving, budget, old, 30)
        got = trio.Event()

        async def load() -> None:
            async with budget.room_for(Model("third"), 40) as room:
                assert room is not None
                assert room.available == 50
                got.set()

        nursery.start_soon(load)
        await old.told.wait()
        await wait_all_tasks_blocked()
        assert not got.is_set()
        await leaving.aclose()
        await got.wait()
        assert not new.told.is_set()
        assert not busy.told.is_set()


async def test_who_is_not_wanted_any_more_does_not_load(nursery: trio.Nursery) -> None:
    budget = budget_of(100)
    busy, late = Model("busy"), Model("late")
    busy.idle = False
    async with AsyncExitStack() as stack:
        await loaded(stack, budget, busy, 90)
        answers: list[object] = []

        async def load() -> None:
            async with budget.room_for(late, 50) as room:
                answers.append(room)

        nursery.start_soon(load)
        await wait_all_tasks_blocked()
        assert answers == []
        late.wanted = False
        budget.wake()
        await wait_all_tasks_blocked()
        assert answers == [None]


async def test_where_nobody_can_give_way_one_gets_what_there_is() -> None:
    budget = budget_of(100)
    async with AsyncExitStack() as stack:
        await loaded(stack, budget, Model("eager", evictable=False), 70)
        async with budget.room_for(Model("second"), 50) as room:
            assert room is not None
            assert room.available == 30
