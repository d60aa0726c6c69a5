"""A node's word on its log: in its adverts, seldom for its own sake, and never behind; and what it makes of others'."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
import trio.testing

from peernode.ledger import Database, LedgerUnavailable, ReceiptStore
from peernode.ledger.log import ReceiptLog
from peernode.ledger.log_heads import LogHeads
from peernode.market.advertising import LOG_PAUSE_S, Advertiser
from peernode.market.log_keeper import LogKeeper, checkpoint_now
from peernode.market.log_watch import LogWatch
from peernode.market.models import OwnModels
from peernode.market.routing.breaker import Breakers
from peernode.mesh.directory import Directory
from peernode.wire.advert import sign_advert
from peernode.wire.checkpoint import Checkpoint, sign_checkpoint
from tests.samples import COORDINATOR, PROVIDER, STRANGER, advert, signed_receipt

START_MS = 1_700_000_000_000


def clock_ms():
    return START_MS + int(trio.current_time() * 1000)


class Mesh:
    """What an advertiser sees of one, with a real directory; ``said`` are the adverts."""

    def __init__(self):
        self.directory = Directory(network="test", clock_ms=clock_ms, own=PROVIDER.peer_id)
        self.said = []

    def addresses(self):
        return ["/ip4/127.0.0.1/tcp/4701"]

    async def publish(self, signed):
        self.said.append(signed.advert)
        self.directory.offer(signed)

    def renew(self, renewal):
        self.directory.renew(renewal)


class Log:
    """A log of ``entries`` receipts; remembers which adverts it was told of before they left."""

    def __init__(self, mesh, entries=0, advertised=0):
        self.mesh = mesh
        self.entries = entries
        self.told = [advertised]
        self.signed = 0

    async def size(self):
        return self.entries

    async def checkpoint(self):
        await trio.lowlevel.checkpoint()
        if not self.entries:
            return None
        self.signed += 1
        made = Checkpoint("test", PROVIDER.peer_id, self.entries, bytes([self.entries]) * 32, clock_ms())
        return sign_checkpoint(made, PROVIDER)

    async def advertised(self):
        return self.told[-1]

    async def advertise(self, seq):
        assert not self.mesh.said or self.mesh.said[-1].seq < seq
        self.told.append(seq)


def advertiser_of(mesh, log):
    return Advertiser(
        identity=PROVIDER,
        network="test",
        mesh=mesh,
        models=OwnModels(()),
        changed=trio.sleep_forever,
        clock_ms=clock_ms,
        log=log,
    )


async def test_the_log_rides_in_adverts_that_are_made_for_it_every_few_minutes_at_most(mock_clock, nursery):
    mock_clock.autojump_threshold = 0
    mesh = Mesh()
    log = Log(mesh, entries=3)
    nursery.start_soon(mesh.directory.run)
    nursery.start_soon(advertiser_of(mesh, log).run)
    await trio.sleep(1)
    assert [said.receipts_log_size for said in mesh.said] == [3]
    for _ in range(10):
        log.entries += 1
        await trio.sleep(LOG_PAUSE_S / 11)
    assert len(mesh.said) == 1
    await trio.sleep(LOG_PAUSE_S / 5)
    assert [said.receipts_log_size for said in mesh.said] == [3, 13]
    assert mesh.said[-1].receipts_log_root == bytes([13]) * 32
    await trio.sleep(LOG_PAUSE_S * 3)  # no receipts, no adverts
    assert len(mesh.said) == 2
    assert log.told[1:] == [said.seq for said in mesh.said]
    nursery.cancel_scope.cancel()


async def test_the_departure_states_the_log_as_it_is_then_and_is_the_last_word(mock_clock, nursery):
    mock_clock.autojump_threshold = 0
    mesh = Mesh()
    log = Log(mesh, entries=1)
    advertiser = advertiser_of(mesh, log)
    nursery.start_soon(advertiser.run)
    await trio.sleep(1)
    log.entries = 5
    await advertiser.leave()
    assert mesh.said[-1].is_departure
    assert (mesh.said[-1].receipts_log_size, mesh.said[-1].receipts_log_root) == (5, b"\x05" * 32)
    await trio.sleep(60)
    assert mesh.said[-1].is_departure
    nursery.cancel_scope.cancel()


async def test_numbers_of_adverts_stay_above_those_of_an_earlier_life_with_a_faster_clock(mock_clock, nursery):
    mock_clock.autojump_threshold = 0
    mesh = Mesh()
    ahead = START_MS + 10**9
    nursery.start_soon(advertiser_of(mesh, Log(mesh, entries=1, advertised=ahead)).run)
    await trio.sleep(1)
    assert mesh.said[0].seq > ahead
    nursery.cancel_scope.cancel()


async def test_a_node_without_receipts_says_nothing_of_a_log(mock_clock, nursery):
    mock_clock.autojump_threshold = 0
    mesh = Mesh()
    log = Log(mesh)
    nursery.start_soon(advertiser_of(mesh, log).run)
    await trio.sleep(LOG_PAUSE_S * 2)
    assert [(said.receipts_log_size, said.receipts_log_root) for said in mesh.said] == [(0, b"")]
    assert log.told == [0]
    nursery.cancel_scope.cancel()


async def test_while_the_ledger_fails_adverts_say_nothing_of_the_log_and_go_on(mock_clock, nursery):
    mock_clock.autojump_threshold = 0
    mesh = Mesh()
    log = Log(mesh, entries=2)

    async def fails(*_):
        raise LedgerUnavailable("The disk is full.")

    log.advertise = fails
    advertiser = advertiser_of(mesh, log)
    nursery.start_soon(advertiser.run)
    await trio.sleep(1)
    log.size = fails
    log.entries = 3
    await trio.sleep(LOG_PAUSE_S * 2)
    assert [(said.receipts_log_size, said.receipts_log_root) for said in mesh.said] == [(0, b"")]
    log.checkpoint = fails
    await advertiser.leave()
    assert mesh.said[-1].is_departure
    assert mesh.said[-1].receipts_log_size == 0
    nursery.cancel_scope.cancel()


async def test_checkpoints_are_signed_once_for_each_size(tmp_path):
    store = ReceiptStore.open(tmp_path / "ledger.db", own=PROVIDER.peer_id)
    log = ReceiptLog(store.database)
    keeper = LogKeeper(identity=PROVIDER, network="test", log=log, clock_ms=clock_ms)
    assert await keeper.checkpoint() is None
    store.append(lambda seq, previous: signed_receipt(seq=seq, previous=previous), now_ms=1)
    first = await keeper.checkpoint()
    assert first == await keeper.checkpoint() == log.newest_checkpoint()
    assert first == checkpoint_now(log, identity=PROVIDER, network="test", now_ms=99)
    assert (first.checkpoint.size, first.checkpoint.root) == log.head()
    await keeper.advertise(7)
    assert [await keeper.size(), await keeper.advertised()] == [1, 7]
    store.close()


def heard(directory, who, seq, size, root, *, lease_ms=60_000, **changes):
    body = replace(
        advert(), peer=who.peer_id, seq=seq, issued_ms=clock_ms(), lease_ms=lease_ms, receipts_log_size=size,
        receipts_log_root=root * 32 if size else b"", **changes,
    )  # fmt: skip
    directory.offer(sign_advert(body, who))


@pytest.fixture
def database(tmp_path):
    opened = Database.open(tmp_path / "ledger.db", own=COORDINATOR.peer_id)
    yield opened
    opened.close()


def watch_of(database, directory, breakers):
    return LogWatch(
        directory=directory,
        heads=LogHeads(database),
        own=COORDINATOR.peer_id,
        clock_ms=clock_ms,
        shun=breakers.banish,
    )


async def test_a_peer_that_keeps_two_logs_is_caught_and_avoided_also_after_a_restart(database, nursery):
    directory, breakers = Directory(network="test", clock_ms=clock_ms, own=COORDINATOR.peer_id), Breakers()
    watch = watch_of(database, directory, breakers)
    heads = LogHeads(database)
    nursery.start_soon(watch.run)
    with trio.fail_after(20):
        heard(directory, PROVIDER, 5, 9, b"a", version="1")
        heard(directory, STRANGER, 5, 2, b"s")
        while set(heads.newest()) != {PROVIDER.peer_id, STRANGER.peer_id}:
            await trio.sleep(0.01)
        assert watch.caught() == {}
        heard(directory, PROVIDER, 6, 9, b"b", version="2")
        while not watch.caught():
            await trio.sleep(0.01)
    assert watch.caught()[PROVIDER.peer_id].reason == "two logs of 9 receipts"
    assert breakers.shunned(PROVIDER.peer_id, 0.0) == "two logs of 9 receipts"
    assert breakers.shunned(STRANGER.peer_id, 0.0) == ""

    later = Breakers()
    nursery.start_soon(watch_of(database, directory, later).run)
    with trio.fail_after(20):
        while not later.shunned(PROVIDER.peer_id, 0.0):
            await trio.sleep(0.01)
    nursery.cancel_scope.cancel()


async def test_a_log_that_shrank_in_a_departure_is_seen_and_silence_is_not_held_against_anybody(database, nursery):
    directory, breakers = Directory(network="test", clock_ms=clock_ms, own=COORDINATOR.peer_id), Breakers()
    watch, heads = watch_of(database, directory, breakers), LogHeads(database)
    nursery.start_soon(watch.run)
    with trio.fail_after(20):
        heard(directory, PROVIDER, 5, 9, b"a", version="1")
        heard(directory, STRANGER, 5, 9, b"a", version="1")
        while len(heads.newest()) < 2:
            await trio.sleep(0.01)
        heard(directory, STRANGER, 6, 0, b"", version="2")
        heard(directory, PROVIDER, 6, 8, b"b", lease_ms=0, models=())
        while not watch.caught():
            await trio.sleep(0.01)
    assert list(watch.caught()) == [PROVIDER.peer_id]
    assert watch.caught()[PROVIDER.peer_id].reason == "its log shrank from 9 to 8 receipts"
    nursery.cancel_scope.cancel()
