"""A read that finds something gives it at once, and the next one waits without going round for nothing."""

import trio
from trio.testing import wait_all_tasks_blocked

SOURCE = "/peernode/test-source/1"


async def test_a_word_that_was_read_without_waiting_wakes_nobody(start_host, dial, open_stream):
    async def source(stream):
        await stream.write(b"early")
        await stream.read(1)
        await stream.write(b"late")
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with start_host({SOURCE: source}) as server, start_host() as client:
            muxed = await dial(client, server)
            stream = await open_stream(client, server, SOURCE)
            number = stream.muxed_stream.stream_id
            while not muxed.stream_buffers[number]:
                await trio.sleep(0.001)
            assert await stream.read(100) == b"early"
            looks = 0
            look = muxed.streams.get

            class Counting(dict):
                def get(self, key, default=None):
                    nonlocal looks
                    looks += key == number
                    return look(key, default)

            async with trio.open_nursery() as nursery:
                got = []

                async def read():
                    got.append(await stream.read(2))

                muxed.streams = Counting(muxed.streams)
                nursery.start_soon(read)
                await wait_all_tasks_blocked()
                assert looks == 1
                await stream.write(b"x")
            assert got == [b"la"]
            assert await stream.read() == b"te"
            await stream.reset()
