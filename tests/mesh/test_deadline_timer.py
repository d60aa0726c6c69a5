"""A deadline rings once, when it has passed where it stands now, and not where it stood before."""

import math

import pytest
import trio
from trio.testing import MockClock

from peernode.mesh.deadline_timer import DeadlineTimer


@pytest.fixture
def autojump_clock():
    return MockClock(autojump_threshold=0)


@pytest.fixture
def rung():
    return []


@pytest.fixture
def timer(nursery, rung):
    return DeadlineTimer(nursery, lambda: rung.append(trio.current_time()))


async def test_it_rings_once_when_due(autojump_clock, timer, rung):
    timer.set(5.0)
    await trio.sleep(20)
    assert rung == [5.0]


async def test_a_deadline_that_moves_on_rings_where_it_ends_up(autojump_clock, timer, rung):
    for now in range(100):
        timer.set(now + 5.0)
        await trio.sleep(1)
    await trio.sleep(100)
    assert rung == [104.0]


async def test_a_deadline_that_comes_nearer_rings_there(autojump_clock, timer, rung):
    timer.set(50.0)
    await trio.sleep(1)
    timer.set(3.0)
    await trio.sleep(1)
    timer.set(2.5)
    await trio.sleep(100)
    assert rung == [2.5]


async def test_after_it_rang_it_can_be_set_again(autojump_clock, timer, rung):
    timer.set(1.0)
    await trio.sleep(2)
    timer.set(10.0)
    await trio.sleep(2)
    timer.set(4.5)
    await trio.sleep(20)
    assert rung == [1.0, 4.5]


async def test_no_deadline_does_not_ring(autojump_clock, timer, rung):
    timer.set(5.0)
    timer.set(math.inf)
    await trio.sleep(100)
    assert rung == []


async def test_one_in_the_past_rings_at_once(autojump_clock, timer, rung):
    await trio.sleep(3)
    timer.set(1.0)
    await trio.testing.wait_all_tasks_blocked()
    assert rung == [3.0]


async def test_its_task_ends_when_it_is_stopped(autojump_clock, rung):
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            timer = DeadlineTimer(nursery, lambda: rung.append(1))
            timer.set(5.0)
            await trio.sleep(1)
            timer.stop()
            timer.set(6.0)
    assert rung == []
