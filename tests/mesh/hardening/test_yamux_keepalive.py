"""A silent peer is noticed within five seconds; a live one has a known round-trip time."""

import pytest
import trio
from libp2p.stream_muxer.yamux import yamux


@pytest.mark.real
async def test_a_frozen_peer_is_noticed_within_five_seconds(start_host, dial, accepted):
    async with start_host() as server, start_host() as client:
        await dial(client, server)
        connection = await accepted(server, client)

        async def frozen(n=None):
            await trio.sleep_forever()

        client.get_network().connections[server.get_id()][0].muxed_conn.secured_conn.read = frozen
        with trio.fail_after(5.5):
            await connection.event_closed.wait()


async def test_the_round_trip_time_is_known_soon(start_host, dial):
    async with start_host() as server, start_host() as client:
        connection = await dial(client, server)
        with trio.fail_after(0.4):  # the library itself first waits half a second
            await connection._ping_event.wait()
        assert connection.rtt() > 0


async def test_who_was_heard_is_not_asked(start_host, dial, accepted, autojump_clock):
    async with start_host() as server, start_host() as client:
        outward = await dial(client, server)
        inward = await accepted(server, client)
        asked: list[str] = []
        for name, connection in (("dialler", outward), ("dialled", inward)):
            write = connection._write_frame

            async def counting(data, name=name, write=write):
                if data[1] == yamux.TYPE_PING and data[3] & yamux.FLAG_SYN:
                    asked.append(name)
                await write(data)

            connection._write_frame = counting
        await trio.sleep(25.0)
        assert asked.count("dialler") >= 10
        assert asked.count("dialled") <= 2
