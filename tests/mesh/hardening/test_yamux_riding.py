"""The opening of a stream, and the word that it was taken, leave with the first frame of their side."""

import struct

import trio

SYN, ACK, RST = 1, 2, 8


def heads(message):
    """(type, flags, stream) of each frame in ``message``."""
    found = []
    while message:
        _, kind, flags, stream_id, length = struct.unpack_from(">BBHII", message)
        found.append((kind, flags, stream_id))
        message = message[12 + (length if kind == 0 else 0) :]
    return found


def listen_in(connection):
    """What leaves on ``connection`` from now on, message by message."""
    messages, write = [], connection.secured_conn.write

    async def noting(data):
        messages.append(heads(bytes(data)))
        await write(data)

    connection.secured_conn.write = noting
    return messages


def about(messages, stream_id):
    """Of each message what is about one stream; others may have left together with it."""
    mine = [[head for head in message if head[2] == stream_id] for message in messages]
    return [message for message in mine if message]


def other_end(server, client):
    return server.get_network().connections[client.get_id()][0].muxed_conn


async def test_both_words_ride(start_host, dial, open_stream):
    with trio.fail_after(20):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            said = listen_in(connection)
            answered = listen_in(other_end(server, client))
            stream = await open_stream(client, server)
            stream_id = stream.muxed_stream.stream_id
            assert about(said, stream_id)[0] == [(1, SYN, stream_id), (0, 0, stream_id)]
            assert about(answered, stream_id)[0] == [(1, ACK, stream_id), (0, 0, stream_id)]
            await stream.write(b"hello")
            assert await stream.read(5) == b"hello"


async def test_a_stream_that_says_nothing_says_nothing(start_host, dial):
    with trio.fail_after(20):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            said = listen_in(connection)
            silent = await connection.open_stream()
            assert about(said, silent.stream_id) == []
            await silent.reset()
            assert about(said, silent.stream_id) == [[(1, SYN, silent.stream_id), (1, RST, silent.stream_id)]]
            assert silent.stream_id not in connection.streams
            assert silent.stream_id not in connection._riding


async def test_nothing_stays_of_streams_that_are_reset_before_they_are_answered(start_host, dial, echoes):
    with trio.fail_after(20):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            for _ in range(20):
                hasty = await connection.open_stream()
                await hasty.reset()
            assert await echoes(client, server)
            there = other_end(server, client)
            while [number for number in there.streams if number % 2]:  # odd: opened by who dialled
                await trio.sleep(0.01)
            assert set(there._riding) <= set(there.streams)
