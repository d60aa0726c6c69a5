"""A read can be cancelled at any moment and loses nothing."""

import trio
from trio.testing import wait_all_tasks_blocked

SOURCE = "/peernode/test-source/1"
ROUNDS = 10
ROUND_BYTES = 10_000


async def test_cancelled_reads_lose_no_data(start_host, dial, open_stream):
    async def source(stream):
        for _ in range(ROUNDS):
            await stream.read(1)
            for _ in range(ROUND_BYTES // 1000):
                await stream.write(bytes(1000))
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with start_host({SOURCE: source}) as server, start_host() as client:
            muxed = await dial(client, server)
            stream = await open_stream(client, server, SOURCE)
            received = 0

            async def read():
                nonlocal received
                while True:
                    received += len(await stream.read(1000))

            for _ in range(ROUNDS):
                await stream.write(b"x")
                # Somebody else is writing on the connection: exactly then a read must not need to write.
                async with muxed._write_lock, trio.open_nursery() as nursery:
                    nursery.start_soon(read)
                    await wait_all_tasks_blocked()
                    nursery.cancel_scope.cancel()
            with trio.fail_after(60):
                while received < ROUNDS * ROUND_BYTES:
                    received += len(await stream.read(1000))
            assert received == ROUNDS * ROUND_BYTES
            assert not muxed.is_closed
