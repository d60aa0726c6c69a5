"""A reader ends when its stream does, whoever ended it, and leaves nothing behind."""

from __future__ import annotations

import pytest
import trio
from libp2p.network.stream.exceptions import StreamEOF, StreamReset
from trio.testing import wait_all_tasks_blocked


@pytest.mark.parametrize("way", ["reset", "close"])
async def test_a_waiting_reader_is_woken_when_its_own_side_ends_the_stream(start_host, dial, open_stream, way):
    other_side = trio.Event()

    async def wait(stream):
        await other_side.wait()
        await stream.close_write()
        while await stream.read(1024):
            pass

    ends = []

    async def read(stream):
        with pytest.raises((StreamEOF, StreamReset)):
            await stream.read(1024)
        ends.append(stream)

    with trio.fail_after(60):
        async with start_host({"/wait/1": wait}) as server, start_host() as client:
            muxed = await dial(client, server)
            stream = await open_stream(client, server, "/wait/1")
            number = stream.muxed_stream.stream_id
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read, stream)
                await wait_all_tasks_blocked()
                if way == "reset":
                    await stream.reset()
                else:
                    await stream.close_write()
                    other_side.set()
            assert len(ends) == 1
            assert number not in muxed.streams
            assert number not in muxed.stream_events
            other_side.set()
