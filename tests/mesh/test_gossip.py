"""News travels by gossip alone, and gossip passes on nothing but genuine news."""

import time
from contextlib import asynccontextmanager

import pytest
import trio

from peernode.mesh.directory import Directory
from peernode.mesh.gossip import Gossip
from peernode.mesh.news_budget import NewsBudget
from peernode.mesh.reports import nobody
from peernode.wire.advert import Advert, sign_advert
from peernode.wire.identity import Identity

NETWORK = "test"


def clock_ms():
    return time.time_ns() // 1_000_000


@pytest.fixture
def start_gossip(start_host):
    @asynccontextmanager
    async def start(report=nobody):
        async with start_host() as host, trio.open_nursery() as nursery:
            directory = Directory(network=NETWORK, clock_ms=clock_ms)
            gossip = Gossip(host, network=NETWORK, directory=directory, report=report)
            await nursery.start(gossip.run)
            identity = Identity.from_seed(host.get_private_key().to_bytes()[:32])
            yield host, directory, gossip, identity
            nursery.cancel_scope.cancel()

    return start


def signed(identity, seq, *, network=NETWORK):
    advert = Advert(
        network=network,
        peer=identity.peer_id,
        seq=seq,
        issued_ms=clock_ms(),
        lease_ms=60_000,
        addresses=(),
        version="0",
        slots=1,
        free_slots=1,
        queued=0,
    )
    return sign_advert(advert, identity)


async def _sees(directory, identity):
    snapshot = directory.snapshot()
    while identity.peer_id not in snapshot.adverts:
        snapshot = await directory.wait_change(snapshot.version)


async def test_news_crosses_two_hops(start_gossip, dial):
    with trio.fail_after(60):
        async with start_gossip() as a, start_gossip() as b, start_gossip() as c:
            await dial(a[0], b[0])
            await dial(c[0], b[0])
            seq = 0
            while a[3].peer_id not in c[1].snapshot().adverts:  # until the subscriptions have found each other
                seq += 1
                await a[2].publish(signed(a[3], seq).raw)
                with trio.move_on_after(1):
                    await _sees(c[1], a[3])


async def test_what_is_not_news_is_not_passed_on(start_gossip):
    async with start_gossip() as (host, directory, gossip, identity):
        del host
        stranger = Identity.from_seed(bytes(31) + b"\x01")
        newer, older = signed(identity, 2), signed(identity, 1)
        directory.offer(newer)

        class Message:
            from_id = gossip._pubsub.my_id.to_bytes()
            data = b""

        def verdict(data):
            message = Message()
            message.data = data
            return gossip._accept(gossip._pubsub.my_id, message)

        assert verdict(newer.raw)
        assert not verdict(older.raw)
        assert not verdict(signed(stranger, 1).raw)
        assert not verdict(signed(identity, 3, network="another").raw)
        assert not verdict(b"\xff" * 100)
        assert not verdict(bytes(70_000))


async def test_one_originator_cannot_flood(start_gossip, mock_clock):
    async with start_gossip() as (host, directory, gossip, identity):
        del host, directory
        for seq in range(1, 40):
            await gossip.publish(signed(identity, seq).raw)
        passed = gossip._directory.latest_seq(identity.peer_id)
        assert passed < 15


async def test_a_flood_shuts_its_sender_out_while_others_are_still_heard(start_gossip, dial):
    reported = trio.Event()
    reports = []

    def report(peer_id, reason, weight):
        reports.append((peer_id, reason, weight))
        reported.set()

    with trio.fail_after(60):
        async with start_gossip(report) as victim, start_gossip() as spammer, start_gossip() as other:
            await dial(spammer[0], victim[0])
            await dial(other[0], victim[0])
            # What a spammer's own node refuses to say, its owner has taken out.
            spammer[2]._pubsub.topic_validators.clear()
            async with trio.open_nursery() as nursery:

                async def flood():
                    for seq in range(1, 10**6):
                        await spammer[2].publish(signed(spammer[3], seq).raw)
                        await trio.sleep(0.1)  # ten times what an originator may say for long

                nursery.start_soon(flood)
                await reported.wait()
                seq = 0
                while other[3].peer_id not in victim[1].snapshot().adverts:
                    seq += 1
                    await other[2].publish(signed(other[3], seq).raw)
                    with trio.move_on_after(1):
                        await _sees(victim[1], other[3])
                nursery.cancel_scope.cancel()
    assert reports == [(spammer[3].peer_id, "gossip: too much news", 1.0)]
    assert victim[2].scores.graylisted() == [spammer[3].peer_id]


async def test_what_is_merely_old_is_nobodys_fault_and_what_is_forged_is(start_gossip, dial):
    with trio.fail_after(60):
        async with start_gossip() as (host, directory, gossip, identity), start_gossip() as (peer, *_):
            del host
            forwarder = peer.get_id()
            directory.offer(signed(identity, 50))

            class Message:
                from_id = gossip._pubsub.my_id.to_bytes()
                data = b""

            def hear(data, times):
                for _ in range(times):
                    message = Message()
                    message.data = data
                    gossip._budget = NewsBudget()
                    assert not gossip._accept(forwarder, message)
                    gossip._router.scorer.on_invalid_message(forwarder, gossip._topic)  # as pubsub does

            hear(signed(identity, 49).raw, 5)
            assert gossip.scores.graylisted() == []
            hear(b"\xff" * 100, 15)
            assert gossip.scores.graylisted() == []
            hear(b"\xff" * 100, 1)
            assert gossip.scores.graylisted() == [str(forwarder)]
            assert gossip._pubsub.is_peer_blacklisted(forwarder)
            gossip.scores.forgive(gossip._pubsub, trio.current_time() + 121)
            assert not gossip._pubsub.is_peer_blacklisted(forwarder)
