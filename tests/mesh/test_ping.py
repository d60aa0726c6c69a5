"""Ping over real streams, what counts as lost, and that both sides count what went over the wire."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from peernode.mesh.errors import DialFailed
from peernode.mesh.ping import MAX_ECHO_BYTES, PROTOCOL, RoundTrips, measure


async def test_round_trips_are_measured_and_counted_on_both_sides(start_node):
    with trio.fail_after(60):
        async with start_node() as far, start_node(join=far.mesh.addresses()) as near:
            async with near.mesh.open(far.peer_id, PROTOCOL, timeout_s=30) as stream:
                trips = await measure(stream, count=3, interval_s=0.01)
            assert trips.lost == 0
            assert len(trips.answered) == 3
            assert all(0 < seconds < 2 for seconds in trips.answered)
            out, into = near.mesh.traffic.flow(PROTOCOL), far.mesh.traffic.flow(PROTOCOL)
            assert (out.messages_out, out.bytes_out, out.messages_in, out.bytes_in) == (3, 36, 3, 36)
            assert (into.messages_out, into.bytes_out, into.messages_in, into.bytes_in) == (3, 36, 3, 36)
            assert (out.opened_out, out.opened_in, into.opened_in, into.opened_out) == (1, 0, 1, 0)
            while out.open or into.open:
                await trio.sleep(0.01)


@pytest.fixture
def patient_clock():
    """Jumps to the next deadline when nothing has happened for a moment; otherwise no time passes."""
    return MockClock(autojump_threshold=0.1)


async def test_a_peer_that_answers_late_is_told_from_one_that_is_gone(start_node, patient_clock):
    asked = trio.Event()

    async def late(stream):
        first = await stream.receive(30)
        second = await stream.receive(30)
        asked.set()
        await stream.send(first)  # too late for the first question, and no answer to the second
        await stream.send(second)

    with trio.fail_after(60):
        async with (
            start_node(handlers={PROTOCOL: late}) as far,
            start_node(join=far.mesh.addresses()) as near,
            near.mesh.open(far.peer_id, PROTOCOL, timeout_s=30) as stream,
        ):
            trips = await measure(stream, count=3, interval_s=0.0, answer_s=0.5)
    assert asked.is_set()
    assert [each is None for each in trips.seconds] == [True, False, True]


async def test_a_long_ping_is_no_ping(start_node):
    with trio.fail_after(60):
        async with start_node() as far, start_node(join=far.mesh.addresses()) as near:
            async with near.mesh.open(far.peer_id, PROTOCOL, timeout_s=30) as stream:
                await stream.send(bytes(MAX_ECHO_BYTES + 1))
                trips = await measure(stream, count=2, interval_s=0.0)
            assert trips.lost == 2


async def test_a_dial_that_fails_is_counted(start_node):
    with trio.fail_after(60):
        async with start_node() as far:
            address = far.mesh.addresses()
        async with start_node(join=address) as near:
            with pytest.raises(DialFailed):
                async with near.mesh.open(far.peer_id, PROTOCOL, timeout_s=30):
                    pass
            assert near.mesh.traffic.dial_failures >= 1
            assert near.mesh.joined == {far.peer_id}


def test_what_is_lost_does_not_change_the_median():
    trips = RoundTrips([0.2, None, 0.1, 0.4])
    assert (trips.lost, trips.median) == (1, 0.2)
    assert RoundTrips([None]).median is None
