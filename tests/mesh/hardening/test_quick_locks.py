"""A free lock costs no round of the scheduler; a held one is handed on in order; nobody keeps the others waiting."""

from __future__ import annotations

import trio
import trio.testing

from peernode.mesh.hardening.quick_locks import FREQUENT, YIELD_EVERY, QuickLock


async def test_a_free_lock_is_taken_at_once_but_not_for_ever():
    lock, rounds = QuickLock(), 0

    async def others():
        nonlocal rounds
        while True:
            rounds += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        for _ in range(YIELD_EVERY - 1):
            async with lock:
                assert lock.locked()
        assert rounds == 0
        for _ in range(2 * YIELD_EVERY):
            async with lock:
                pass
        assert 1 <= rounds <= 3
        nursery.cancel_scope.cancel()


async def test_a_held_lock_is_handed_on_in_order():
    lock, order = QuickLock(), []

    async def want(name):
        async with lock:
            order.append(name)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery, lock:
        for name in range(5):
            nursery.start_soon(want, name)
            await trio.testing.wait_all_tasks_blocked()
    assert order == [0, 1, 2, 3, 4]


async def test_a_wait_can_be_cancelled():
    lock = QuickLock()

    async def wait_in_vain():
        with trio.move_on_after(0.01) as scope:
            async with lock:
                raise AssertionError("held twice")
        assert scope.cancelled_caught

    async with lock, trio.open_nursery() as nursery:
        nursery.start_soon(wait_in_vain)
    assert not lock.locked()


async def test_every_connection_has_them(start_host, dial, open_stream):
    async with start_host() as server, start_host() as client:
        muxed = await dial(client, server)
        stream = await open_stream(client, server)
        socket = muxed.secured_conn.conn.read_writer.read_write_closer.stream
        holders = dict(
            zip((holder for holder, _ in FREQUENT), (socket, stream, muxed, stream.muxed_stream), strict=True)
        )
        for holder, names in FREQUENT:
            assert isinstance(holders[holder], holder)
            assert all(isinstance(getattr(holders[holder], name), QuickLock) for name in names)
        await stream.reset()
