"""A node says its whole advert when the offer changes, and small renewals otherwise, at the pace of the network."""

import dataclasses

import pytest
import trio
from trio.testing import MockClock

from peernode.engine import EngineLoad
from peernode.market.advertising import Advertiser
from peernode.mesh.directory import Directory
from peernode.wire.identity import Identity
from tests.samples import CARD

WALL = 1_700_000_000_000
OWN = Identity.from_seed(bytes(range(32)))


@pytest.fixture
def autojump_clock():
    return MockClock(autojump_threshold=0.01)


def load_of(free_slots, queued):
    return EngineLoad(8, free_slots, queued, kv_used=0, kv_tokens=0, decode_tps=0.0, prefill_tps=0.0, steps=0)


class Said:
    """A mesh that remembers when what was said; ``others`` is how many live peers it pretends to see."""

    def __init__(self):
        self.directory = Directory(network="n", clock_ms=clock_ms)
        self.words = []
        self.others = 0

    def addresses(self):
        return ["/ip4/127.0.0.1/tcp/1"]

    async def publish(self, signed):
        self.directory.offer(signed)
        self.words.append((round(trio.current_time() - self.start, 2), signed.advert))

    def renew(self, signed):
        self.directory.renew(signed)
        self.words.append((round(trio.current_time() - self.start, 2), signed.renewal))


class Offer:
    """One model, whose card and load a test changes."""

    def __init__(self):
        self.card = CARD
        self.load = load_of(8, 0)
        self._changed = trio.Event()

    def cards(self):
        return (self.card,)

    def loads(self):
        return [self.load]

    async def changed(self):
        await self._changed.wait()

    def change(self, **changes):
        for name, value in changes.items():
            setattr(self, name, value)
        self._changed.set()
        self._changed = trio.Event()


def clock_ms():
    return WALL + int(trio.current_time() * 1000)


@pytest.fixture
async def parts(nursery):
    mesh, offer = Said(), Offer()
    mesh.start = trio.current_time()
    advertiser = Advertiser(
        identity=OWN, network="n", mesh=mesh, models=offer, changed=offer.changed, clock_ms=clock_ms
    )
    nursery.start_soon(mesh.directory.run)
    nursery.start_soon(advertiser.run)
    await trio.sleep(1)
    return mesh, offer, advertiser


def kinds(mesh):
    return [(at_s, type(word).__name__) for at_s, word in mesh.words]


async def test_renewals_every_five_seconds_name_the_advert_and_keep_it_alive(autojump_clock, parts):
    mesh, _, _ = parts
    await trio.sleep(30)
    assert kinds(mesh) == [(0.0, "Advert")] + [(5.0 * n, "Renewal") for n in range(1, 7)]
    assert len({word.advert for _, word in mesh.words[1:]}) == 1
    assert OWN.peer_id in mesh.directory.snapshot().adverts
    assert [word.lease_ms for _, word in mesh.words] == [15_000] * 7


async def test_load_is_told_by_renewals_and_measured_rates_by_nothing(autojump_clock, parts):
    mesh, offer, _ = parts
    offer.change(load=load_of(0, 3))
    await trio.sleep(0.01)
    offer.change(card=dataclasses.replace(CARD, decode_tps=CARD.decode_tps + 1))
    await trio.sleep(1)
    assert kinds(mesh) == [(0.0, "Advert"), (1.0, "Renewal")]
    assert (mesh.words[1][1].free_slots, mesh.words[1][1].queued) == (0, 3)
    standing = mesh.directory.snapshot().adverts[OWN.peer_id]
    assert (standing.advert.free_slots, standing.advert.queued) == (0, 3)


async def test_a_changed_offer_is_told_at_once_and_whole(autojump_clock, parts):
    mesh, offer, _ = parts
    offer.change(card=dataclasses.replace(CARD, price_prompt=CARD.price_prompt + 1))
    await trio.sleep(0.3)
    assert kinds(mesh) == [(0.0, "Advert"), (1.0, "Advert")]


async def test_leaving_ends_the_lease(autojump_clock, parts):
    mesh, _, advertiser = parts
    await advertiser.leave()
    assert mesh.words[-1][1].is_departure
    assert mesh.directory.snapshot().adverts == {}
    await trio.sleep(20)
    assert mesh.words[-1][1].is_departure


async def test_rates_that_moved_much_are_told_some_time(autojump_clock, parts):
    mesh, offer, _ = parts
    offer.change(card=dataclasses.replace(CARD, decode_tps=2 * CARD.decode_tps + 2))
    await trio.sleep(120)
    told = [(at_s, word) for at_s, word in mesh.words if type(word).__name__ == "Advert"]
    assert [at_s for at_s, _ in told] == [0.0, 60.0]
    assert told[1][1].models[0].decode_tps == 2 * CARD.decode_tps + 2


async def test_in_a_large_network_renewals_and_load_are_rarer_but_news_is_not(autojump_clock, parts, monkeypatch):
    mesh, offer, _ = parts
    monkeypatch.setattr(Advertiser, "_live", lambda self: 500)
    await trio.sleep(5)  # the pause that was running
    mesh.words.clear()
    await trio.sleep(100)
    assert len(mesh.words) in (2, 3)
    assert {word.lease_ms for _, word in mesh.words} == {150_000}
    mesh.words.clear()
    offer.change(card=dataclasses.replace(CARD, price_prompt=7))
    await trio.sleep(0.3)
    assert [type(word).__name__ for _, word in mesh.words] == ["Advert"]
    for queued in range(1, 26):
        offer.change(load=load_of(0, queued))
        await trio.sleep(1)
    assert len(mesh.words) <= 1 + 2


async def test_a_clock_set_back_does_not_silence_the_node(autojump_clock, nursery):

    before, after = Said(), Said()
    offer = Offer()
    for mesh, clock in ((before, lambda: WALL + 20_000), (after, lambda: WALL)):
        mesh.start = trio.current_time()
        mesh.directory = before.directory
        with trio.move_on_after(1):
            await Advertiser(
                identity=OWN, network="n", mesh=mesh, models=offer, changed=offer.changed, clock_ms=clock
            ).run()
    assert after.words[0][1].seq > before.words[-1][1].seq
    assert before.directory.latest_seq(OWN.peer_id) == after.words[-1][1].seq
