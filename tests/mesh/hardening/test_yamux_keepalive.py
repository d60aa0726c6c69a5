"""A silent peer is noticed within five seconds; a live one has a known round-trip time."""

import pytest
import trio
from libp2p.stream_muxer.yamux import yamux
from trio.testing import MockClock


@pytest.fixture
def patient_clock():
    """Jumps to the next deadline when nothing has happened for a moment: what is under way on loopback arrives first.

    So these tests measure what the mesh waits for, and not how fast the machine is.
    """
    return MockClock(autojump_threshold=0.1)


async def test_a_frozen_peer_is_noticed_within_five_seconds(start_host, dial, accepted, patient_clock):
    async with start_host() as server, start_host() as client:
        await dial(client, server)
        connection = await accepted(server, client)

        async def frozen(n=None):
            await trio.sleep_forever()

        client.get_network().connections[server.get_id()][0].muxed_conn.secured_conn.read = frozen
        with trio.fail_after(5):
            await connection.event_closed.wait()


async def test_the_round_trip_time_is_asked_for_at_once(start_host, dial, patient_clock):
    async with start_host() as server, start_host() as client:
        before = trio.current_time()
        connection = await dial(client, server)
        await connection._ping_event.wait()
        assert trio.current_time() - before < 0.4  # the library itself first waits half a second


async def test_the_round_trip_time_is_known(start_host, dial):
    with trio.fail_after(60):
        async with start_host() as server, start_host() as client:
            connection = await dial(client, server)
            await connection._ping_event.wait()
            assert connection.rtt() > 0


async def test_who_was_heard_is_not_asked(start_host, dial, accepted, patient_clock):
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
