"""Two neighbours bring their tables into line over one stream: without gossip, and to a late joiner too."""

import contextlib
import random
import time

import pytest
import trio

from peernode.mesh import FrameStream, StreamClosed
from peernode.mesh.directory import Directory
from peernode.mesh.sync import PROTOCOL, Sync
from peernode.wire.advert import Advert, sign_advert
from peernode.wire.identity import Identity
from peernode.wire.renewal import Renewal, sign_renewal

RNG = random.Random(11)
OTHERS = [Identity.from_seed(RNG.randbytes(32)) for _ in range(40)]


def clock_ms():
    return time.time_ns() // 1_000_000


def signed(identity, seq, *, lease_ms=60_000):
    advert = Advert(
        network="n",
        peer=identity.peer_id,
        seq=seq,
        issued_ms=clock_ms(),
        lease_ms=lease_ms,
        addresses=(),
        version="0",
        slots=1,
        free_slots=1,
        queued=0,
    )
    return sign_advert(advert, identity)


@pytest.fixture
async def neighbours(start_host, dial, open_stream, nursery, monkeypatch):
    """Two directories joined by a sync session."""
    monkeypatch.setattr("peernode.mesh.sync.BATCH_S", 0.05)
    left, right = (Directory(network="n", clock_ms=clock_ms) for _ in range(2))
    rng = random.Random(1)
    syncs = [Sync(peer_id=name, directory=directory, rng=rng) for name, directory in (("l", left), ("r", right))]

    async def serve(stream):
        await syncs[1].serve(FrameStream(stream, nursery))

    async with start_host({PROTOCOL: serve}) as server, start_host() as client:
        await dial(client, server)

        async def converse(stream):
            with contextlib.suppress(StreamClosed):  # the end of the test
                await syncs[0].serve(stream)

        async def connect():
            nursery.start_soon(converse, FrameStream(await open_stream(client, server, PROTOCOL), nursery))

        yield left, right, connect


def renewal(directory, identity, seq):
    held = directory.holding(identity.peer_id).standing.signed
    return Renewal("n", identity.peer_id, seq, clock_ms(), 60_000, 0, 0, held.digest)


async def _alike(left, right):
    while left.digest() != right.digest():
        async with trio.open_nursery() as nursery:

            async def change_of(directory):
                await directory.wait_word(directory.version)
                nursery.cancel_scope.cancel()

            nursery.start_soon(change_of, left)
            nursery.start_soon(change_of, right)


async def test_each_side_gets_what_it_lacks_and_keeps_getting_it(neighbours):
    left, right, connect = neighbours
    for number, identity in enumerate(OTHERS):
        (left if number % 2 else right).offer(signed(identity, 1))
    with trio.fail_after(60):
        await connect()
        await _alike(left, right)
        assert len(right.snapshot().adverts) == len(OTHERS)
        renewals_of = sign_renewal(renewal(left, OTHERS[0], 2), OTHERS[0])
        left.renew(renewals_of)
        right.offer(signed(OTHERS[1], 2))
        await _alike(left, right)
        assert right.holding(OTHERS[0].peer_id).standing.renewal == renewals_of
        assert left.latest_seq(OTHERS[1].peer_id) == right.latest_seq(OTHERS[0].peer_id) == 2


async def test_a_departure_travels_and_the_departed_stays_gone(neighbours):
    left, right, connect = neighbours
    leaver = OTHERS[0]
    right.offer(signed(leaver, 1))
    left.offer(signed(leaver, 1))
    left.offer(signed(leaver, 2, lease_ms=0))
    with trio.fail_after(60):
        await connect()
        await _alike(left, right)
    assert leaver.peer_id not in left.snapshot().adverts
    assert leaver.peer_id not in right.snapshot().adverts


async def test_a_lease_does_not_grow_by_being_handed_on(neighbours):
    left, right, connect = neighbours
    identity = OTHERS[0]
    left.offer(signed(identity, 1, lease_ms=10_000), age_ms=3_000)
    with trio.fail_after(60):
        await connect()
        await _alike(left, right)
    assert right.holding(identity.peer_id).age_ms >= 3_000


async def test_sessions_that_have_nothing_to_say_are_not_woken(neighbours, monkeypatch):
    left, right, connect = neighbours
    left.offer(signed(OTHERS[0], 1))
    woken, rounds, over = [], [], trio.Event()
    chase = Sync.chase

    class Watch(trio.abc.Instrument):
        def before_task_step(self, task):
            if "SyncSession" in task.name:
                woken.append(task.name)

    watch = Watch()

    def counted(sync):
        rounds.append(sync)
        if len(rounds) == 30:  # what was said at first has been taken in
            trio.lowlevel.add_instrument(watch)
        if len(rounds) == 80:
            trio.lowlevel.remove_instrument(watch)
            over.set()
        chase(sync)

    with trio.fail_after(60):
        await connect()
        await _alike(left, right)
        monkeypatch.setattr(Sync, "chase", counted)
        await over.wait()
    assert woken == []
