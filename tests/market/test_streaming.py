"""A producer and a reader meet at each event: in order, one ahead of the other by nothing, and either may leave."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from peernode.chat.events import Tokens
from peernode.market.streaming import Emit, produced

EVENTS = [Tokens(str(number), (number,)) for number in range(50)]


async def test_events_come_in_order_and_then_the_end() -> None:
    async def produce(emit: Emit) -> None:
        for event in EVENTS:
            await emit(event)
            if event.ids[0] % 7 == 0:
                await trio.lowlevel.checkpoint()

    async with produced(produce) as events:
        got = []
        async for event in events:
            got.append(event)
            if len(got) % 5 == 0:
                await wait_all_tasks_blocked()
    assert got == EVENTS


async def test_the_producer_waits_for_a_reader_that_is_slow() -> None:
    emitted = 0

    async def produce(emit: Emit) -> None:
        nonlocal emitted
        for event in EVENTS:
            await emit(event)
            emitted += 1

    async with produced(produce) as events:
        await wait_all_tasks_blocked()
        assert emitted == 0
        await anext(events)
        await wait_all_tasks_blocked()
        assert emitted == 1


async def test_an_event_for_who_waits_already_costs_the_producer_no_turn() -> None:
    turns: list[str] = []

    async def produce(emit: Emit) -> None:
        await wait_all_tasks_blocked()
        turns.append("emit")
        await emit(EVENTS[0])
        turns.append("on")

    async with produced(produce) as events:
        await anext(events)
        turns.append("read")
    assert turns == ["emit", "on", "read"]


async def test_a_reader_that_gives_up_waiting_loses_nothing() -> None:
    go = trio.Event()

    async def produce(emit: Emit) -> None:
        await go.wait()
        for event in EVENTS[:2]:
            await emit(event)

    async with produced(produce) as events:
        with trio.move_on_after(0.01) as gave_up:
            await anext(events)
        assert gave_up.cancelled_caught
        go.set()
        await wait_all_tasks_blocked()
        assert [event async for event in events] == EVENTS[:2]


async def test_an_event_whose_emission_was_cancelled_is_not_read() -> None:
    async def produce(emit: Emit) -> None:
        with trio.move_on_after(0.01):
            await emit(EVENTS[0])
        await emit(EVENTS[1])

    async with produced(produce) as events:
        await trio.sleep(0.05)
        assert [event async for event in events] == [EVENTS[1]]


async def test_two_who_emit_at_once_are_heard_one_after_the_other() -> None:
    async def produce(emit: Emit) -> None:
        async with trio.open_nursery() as nursery:
            for event in EVENTS[:3]:
                nursery.start_soon(emit, event)

    async with produced(produce) as events:
        await wait_all_tasks_blocked()
        got = [event async for event in events]
    assert sorted(event.ids for event in got if isinstance(event, Tokens)) == [(0,), (1,), (2,)]


async def test_leaving_the_stream_ends_the_producer_after_its_last_duties() -> None:
    duties = []

    async def produce(emit: Emit) -> None:
        try:
            for event in EVENTS:
                await emit(event)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.01)
            duties.append("done")

    async with produced(produce) as events:
        await anext(events)
    assert duties == ["done"]


async def test_a_defect_of_the_producer_comes_out() -> None:
    async def produce(emit: Emit) -> None:
        await emit(EVENTS[0])
        raise RuntimeError("defect")

    with pytest.RaisesGroup(RuntimeError):
        async with produced(produce) as events:
            async for _ in events:
                pass
            await trio.sleep_forever()
