"""Waiting for the ledger's futures in trio."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest
import trio
import trio.testing

from peernode.market.durably import durably


async def test_what_a_thread_sets_is_given() -> None:
    future: Future[int] = Future()
    threading.Thread(target=future.set_result, args=(7,)).start()
    assert await durably(future) == 7


async def test_what_is_there_already_is_given() -> None:
    future: Future[int] = Future()
    future.set_result(7)
    assert await durably(future) == 7


async def test_what_went_wrong_is_raised() -> None:
    future: Future[int] = Future()
    threading.Thread(target=future.set_exception, args=(KeyError("x"),)).start()
    with pytest.raises(KeyError):
        await durably(future)


async def test_a_cancelled_waiter_still_learns_what_became_of_the_write() -> None:
    future: Future[int] = Future()
    told: list[int] = []
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                told.append(await durably(future))

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            threading.Thread(target=future.set_result, args=(7,)).start()
    assert told == [7]


async def test_many_wait_without_a_thread_each() -> None:
    futures: list[Future[int]] = [Future() for _ in range(500)]
    before = threading.active_count()
    async with trio.open_nursery() as nursery:
        for future in futures:
            nursery.start_soon(durably, future)
        await trio.testing.wait_all_tasks_blocked()
        assert threading.active_count() == before
        for number, future in enumerate(futures):
            future.set_result(number)
