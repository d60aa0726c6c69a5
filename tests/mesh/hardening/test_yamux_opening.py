"""Opening a stream can be cancelled without a trace."""

import trio

ALL_SLOTS = 256


async def test_a_cancelled_opening_gives_its_slot_back(start_host, dial):
    with trio.fail_after(20):
        async with start_host() as server, start_host() as client:
            muxed = await dial(client, server)
            swarm_conn = client.get_network().connections[server.get_id()][0]
            with trio.fail_after(5):
                while muxed.stream_backlog_semaphore.value < ALL_SLOTS:  # let identify finish
                    await trio.sleep(0.02)
            streams = len(muxed.streams)

            async def hold_the_line(task_status):
                async with muxed._write_lock:
                    task_status.started()
                    await trio.sleep(0.1)

            for _ in range(3):
                async with trio.open_nursery() as nursery:
                    await nursery.start(hold_the_line)
                    with trio.move_on_after(0.02) as scope:
                        await swarm_conn.new_stream()
                    assert scope.cancelled_caught
            assert muxed.stream_backlog_semaphore.value == ALL_SLOTS
            assert len(muxed.streams) <= streams
