"""A read can be cancelled at any moment and loses nothing."""

import trio

SOURCE = "/peernode/test-source/1"


async def test_cancelled_reads_lose_no_data(start_host, dial, open_stream):
    size = 200_000

    async def source(stream):
        for _ in range(size // 1000):
            await stream.write(bytes(1000))
        await trio.sleep_forever()

    with trio.fail_after(20):
        async with start_host({SOURCE: source}) as server, start_host() as client:
            muxed = await dial(client, server)
            stream = await open_stream(client, server, SOURCE)
            received = 0
            while received < size // 2:
                # Somebody else is writing on the connection: exactly then a read must not need to write.
                async with trio.open_nursery() as nursery:

                    async def hold_the_line(task_status):
                        async with muxed._write_lock:
                            task_status.started()
                            await trio.sleep(0.05)

                    await nursery.start(hold_the_line)
                    with trio.move_on_after(0.02):
                        while received < size // 2:
                            received += len(await stream.read(1000))
            with trio.fail_after(5):
                while received < size:
                    received += len(await stream.read(1000))
            assert received == size
            assert not muxed.is_closed
