"""Opening a stream can be cancelled without a trace."""

import trio
from trio.testing import wait_all_tasks_blocked

ALL_SLOTS = 256


async def test_a_cancelled_opening_gives_its_slot_back(start_host, dial):
    with trio.fail_after(60):
        async with start_host() as server, start_host() as client:
            muxed = await dial(client, server)
            swarm_conn = client.get_network().connections[server.get_id()][0]
            with trio.fail_after(60):
                for _ in range(ALL_SLOTS):  # let identify finish
                    await muxed.stream_backlog_semaphore.acquire()
            for _ in range(ALL_SLOTS):
                muxed.stream_backlog_semaphore.release()
            streams = len(muxed.streams)

            for _ in range(3):
                scope = trio.CancelScope()

                async def open_and_be_cancelled(scope=scope):
                    with scope:
                        await swarm_conn.new_stream()

                async with trio.open_nursery() as nursery, muxed.streams_lock:
                    nursery.start_soon(open_and_be_cancelled)
                    await wait_all_tasks_blocked()
                    scope.cancel()
                    await wait_all_tasks_blocked()
                assert scope.cancelled_caught
            assert muxed.stream_backlog_semaphore.value == ALL_SLOTS
            assert len(muxed.streams) <= streams
