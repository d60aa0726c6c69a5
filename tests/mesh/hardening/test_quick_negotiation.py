"""The answers of a negotiation leave together when its lines are here, and one by one for who waits."""

import trio

from tests.mesh.conftest import ECHO
from tests.mesh.hardening.test_yamux_riding import about, listen_in, other_end

HEADER = b"\x13/multistream/1.0.0\n"
WANTED = bytes([len(ECHO) + 1]) + ECHO.encode() + b"\n"


async def read_all(stream, size):
    data = b""
    while len(data) < size:
        data += await stream.read(size - len(data))
    return data


async def test_lines_that_come_together_are_answered_together(start_host, dial):
    with trio.fail_after(20):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            answered = listen_in(other_end(server, client))
            stream = await connection.open_stream()
            await stream.write(HEADER + WANTED + b"hello")
            assert await read_all(stream, len(HEADER + WANTED) + 5) == HEADER + WANTED + b"hello"
            with_data = [m for m in about(answered, stream.stream_id) if any(kind == 0 for kind, *_ in m)]
            assert len(with_data) == 2  # the agreement, and the echo


async def test_who_waits_for_each_answer_gets_it(start_host, dial):
    with trio.fail_after(20):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            stream = await connection.open_stream()
            await stream.write(HEADER)
            assert await read_all(stream, len(HEADER)) == HEADER
            await stream.write(WANTED)
            assert await read_all(stream, len(WANTED)) == WANTED


async def test_who_writes_nothing_hears_the_header_all_the_same(start_host, dial):
    with trio.fail_after(20):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            stream = await connection.open_stream()
            await stream.write(HEADER[:1])  # the first byte opens the stream
            assert await read_all(stream, len(HEADER)) == HEADER


async def test_an_unknown_protocol_is_refused_in_words_although_data_came_with_it(start_host, dial):
    with trio.fail_after(20):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            stream = await connection.open_stream()
            await stream.write(HEADER + b"\x05/x/1\n" + b"\x00\x00\x00\x05hello")
            assert await read_all(stream, len(HEADER) + 4) == HEADER + b"\x03na\n"
