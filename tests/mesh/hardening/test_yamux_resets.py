"""What was said before a reset is heard, also by who reads it late; then comes the reset."""

from __future__ import annotations

import pytest
import trio
from libp2p.network.stream.exceptions import StreamReset

WORD = "/peernode/test-word/1"


async def test_the_last_word_before_a_reset_is_read_before_it(start_host, dial, open_stream):
    async def refuse(stream):
        await stream.write(b"no, because")
        await stream.reset()

    with trio.fail_after(60):
        async with start_host({WORD: refuse}) as server, start_host() as client:
            muxed = await dial(client, server)
            stream = await open_stream(client, server, WORD)
            number = stream.muxed_stream.stream_id
            while not stream.muxed_stream.reset_received:
                await trio.lowlevel.checkpoint()
            assert await stream.read(1024) == b"no, because"
            with pytest.raises(StreamReset):
                await stream.read(1024)
            assert number not in muxed.streams
            assert number not in muxed.stream_buffers


async def test_a_reset_of_our_own_drops_what_was_not_read(start_host, dial, open_stream):
    async def speak(stream):
        await stream.write(b"too late")
        await stream.close_write()

    with trio.fail_after(60):
        async with start_host({WORD: speak}) as server, start_host() as client:
            await dial(client, server)
            stream = await open_stream(client, server, WORD)
            while not stream.muxed_stream.recv_closed:
                await trio.lowlevel.checkpoint()
            await stream.reset()
            with pytest.raises(StreamReset):
                await stream.read(1024)
