"""Frames arrive whole or as a typed error, within a deadline of ours: over real streams on loopback."""

from contextlib import asynccontextmanager

import pytest
import trio

from peernode.mesh import FrameStream, FrameTimeout, FrameTooLarge, StreamClosed

PROTOCOL = "/peernode/test-frames/1"


@pytest.fixture
def conversation(start_host, dial, open_stream, nursery):
    """``async with conversation(handler) as stream``: our frames against a raw libp2p handler."""

    @asynccontextmanager
    async def conversation(handler, **limits):
        async with start_host({PROTOCOL: handler}) as server, start_host() as client:
            await dial(client, server)
            stream = FrameStream(await open_stream(client, server, PROTOCOL), nursery, **limits)
            assert stream.peer_id == str(server.get_id())
            yield stream
            await stream.abort()

    return conversation


async def test_frames_cross_in_order_and_whole_however_they_are_cut(conversation):
    async def cutter(stream):
        wire = b"".join(len(p).to_bytes(4, "big") + p for p in (b"one", b"", b"3" * 70_000))
        for start in range(0, len(wire), 1001):
            await stream.write(wire[start : start + 1001])
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with conversation(cutter) as stream:
            assert [await stream.receive(30) for _ in range(3)] == [b"one", b"", b"3" * 70_000]


async def test_a_deadline_passes_and_the_stream_is_still_good(conversation):
    async def slow(stream):
        await stream.read(1)
        await stream.write(b"\x00\x00\x00\x02ok")
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with conversation(slow) as stream:
            with pytest.raises(FrameTimeout) as late:
                await stream.receive(0.05)
            assert late.value.code == "frame_timeout"
            await stream.send(b"go")
            assert await stream.receive(30) == b"ok"


async def test_a_frame_cut_short_is_a_closed_stream_and_nothing_else(conversation):
    async def truncated(stream):
        await stream.write(b"\x00\x00\x00\x02ok\x00\x00\x00\x64only this")
        await stream.close()

    with trio.fail_after(60):
        async with conversation(truncated) as stream:
            assert await stream.receive(30) == b"ok"
            with pytest.raises(StreamClosed) as cut:
                await stream.receive(30)
            assert "middle of a frame" in cut.value.cause


async def test_a_reset_is_a_closed_stream(conversation):
    async def resetting(stream):
        await stream.read(1)
        await stream.reset()

    with trio.fail_after(60):
        async with conversation(resetting) as stream:
            await stream.send(b"x")
            with pytest.raises(StreamClosed):
                await stream.receive(30)


async def test_an_announced_giant_is_refused_before_it_is_read(conversation):
    ended = trio.Event()

    async def giant(stream):
        try:
            await stream.write(b"\xff\xff\xff\xff" + bytes(1000))
            while True:
                await stream.read(1)
        finally:
            ended.set()

    with trio.fail_after(60):
        async with conversation(giant) as stream:
            with pytest.raises(FrameTooLarge):
                await stream.receive(30)
            await ended.wait()


async def test_a_frame_over_the_limit_is_not_sent(conversation):
    async def quiet(stream):
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with conversation(quiet, max_frame_bytes=10) as stream:
            with pytest.raises(FrameTooLarge):
                await stream.send(bytes(11))


async def test_only_the_first_frame_of_either_side_may_be_large(conversation):
    async def echo(stream):
        await stream.write(b"\0\0\0\x14" + bytes(20))
        await stream.write(b"\0\0\0\x0b" + bytes(11))
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with conversation(echo, max_frame_bytes=10, opening_bytes=20) as stream:
            with pytest.raises(FrameTooLarge):
                await stream.send(bytes(21))
            await stream.send(bytes(20))
            with pytest.raises(FrameTooLarge):
                await stream.send(bytes(11))
            assert len(await stream.receive(30)) == 20
            with pytest.raises(FrameTooLarge):
                await stream.receive(30)


async def test_a_consumer_that_does_not_read_holds_the_sender_back(conversation):
    sent = 0

    async def source(stream):
        nonlocal sent
        while True:
            await stream.write(b"\x00\x01\x00\x00" + bytes(65536))
            sent += 65540

    with trio.fail_after(60):
        async with conversation(source) as stream:
            await stream.receive(30)
            before = -1
            while before != sent:  # only time can show that nothing more is sent
                before = sent
                await trio.sleep(0.3)
            assert sent < 2_000_000
            for _ in range(40):
                await stream.receive(30)


async def test_a_peer_that_takes_nothing_is_given_up_at_the_deadline(conversation):
    async def deaf(stream):
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with conversation(deaf) as stream:
            with pytest.raises(FrameTimeout):
                await stream.send(bytes(1_000_000), deadline_s=0.2)
            with pytest.raises(StreamClosed):
                await stream.send(b"more")


async def test_a_cancelled_receive_loses_nothing(conversation):
    count = 300

    async def source(stream):
        for number in range(count):
            await stream.write(b"\x00\x00\x00\x04" + number.to_bytes(4, "big"))
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with conversation(source) as stream:
            received = []
            while len(received) < count:
                with trio.move_on_after(0.001):
                    received.append(int.from_bytes(await stream.receive(30), "big"))
            assert received == list(range(count))


async def test_what_was_sent_before_close_is_read_to_the_end(conversation):
    closed, got = trio.Event(), trio.Event()
    total = 0

    async def sink(stream):
        nonlocal total
        await closed.wait()
        while total < 200_000:
            total += len(await stream.read(65536))
        got.set()

    with trio.fail_after(60):
        async with conversation(sink) as stream:
            await stream.send(bytes(200_000))
            await stream.close()
            closed.set()
            await got.wait()


async def test_when_the_nursery_takes_no_more_tasks_a_stream_still_ends(start_host, dial, open_stream):
    async def quiet(stream):
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with start_host({PROTOCOL: quiet}) as server, start_host() as client:
            await dial(client, server)
            async with trio.open_nursery() as fallen:
                streams = [FrameStream(await open_stream(client, server, PROTOCOL), fallen) for _ in range(2)]
            with pytest.raises(StreamClosed):
                await streams[0].receive(30)
            for stream in streams:
                await stream.close()
