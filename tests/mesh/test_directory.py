"""The directory shows what is live, tells of changes, and ends leases on the dot."""

import random

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from peernode.mesh.directory import Directory
from peernode.mesh.leases import ChangeKind, Refusal
from peernode.wire.advert import Advert, ModelCard, sign_advert
from peernode.wire.errors import WireError
from peernode.wire.identity import Identity
from peernode.wire.renewal import Renewal, sign_renewal

WALL = 1_700_000_000_000
RNG = random.Random(7)


@pytest.fixture
def autojump_clock():
    return MockClock(autojump_threshold=0.01)


def signed(identity, seq, *, lease_ms=15_000, model="m"):
    card = ModelCard(
        id=model, digest=model.encode().ljust(32), architecture="l", parameters=1, quantization="q", context_length=1
    )
    advert = Advert(
        network="n",
        peer=identity.peer_id,
        seq=seq,
        issued_ms=WALL,
        lease_ms=lease_ms,
        addresses=(),
        version="0",
        slots=1,
        free_slots=1,
        queued=0,
        models=(card,),
    )
    return sign_advert(advert, identity)


@pytest.fixture
def identity():
    return Identity.from_seed(RNG.randbytes(32))


@pytest.fixture
def directory():
    return Directory(network="n", clock_ms=lambda: WALL)


async def test_a_lease_ends_when_due_and_wakes_who_waits(autojump_clock, nursery, directory, identity):
    nursery.start_soon(directory.run)
    await wait_all_tasks_blocked()
    start = trio.current_time()
    directory.offer(signed(identity, 1, lease_ms=15_000))
    snapshot = directory.snapshot()
    assert identity.peer_id in snapshot.adverts
    snapshot = await directory.wait_change(snapshot.version)
    assert snapshot.adverts == {}
    assert 15.0 <= trio.current_time() - start < 15.1


async def test_a_shorter_lease_that_comes_later_still_ends_first(autojump_clock, nursery, directory, identity):
    other = Identity.from_seed(RNG.randbytes(32))
    nursery.start_soon(directory.run)
    await wait_all_tasks_blocked()
    directory.offer(signed(identity, 1, lease_ms=60_000))
    await trio.sleep(1)
    start = trio.current_time()
    directory.offer(signed(other, 1, lease_ms=2_000))
    while other.peer_id in directory.snapshot().adverts:
        await directory.wait_change(directory.version)
    assert trio.current_time() - start < 2.1
    assert identity.peer_id in directory.snapshot().adverts


async def test_a_snapshot_never_changes(directory, identity):
    directory.offer(signed(identity, 1))
    before = directory.snapshot()
    directory.offer(signed(identity, 2, lease_ms=0))
    assert identity.peer_id in before.adverts
    assert directory.snapshot().adverts == {}
    with pytest.raises(TypeError):
        before.adverts["x"] = None


async def test_models_are_found_by_name_and_digest_and_remembered_by_name(directory, identity):
    directory.offer(signed(identity, 1, model="tiny"))
    snapshot = directory.snapshot()
    assert [advert.peer for advert in snapshot.for_model("tiny")] == [identity.peer_id]
    assert [advert.peer for advert in snapshot.for_digest(b"tiny".ljust(32))] == [identity.peer_id]
    assert set(snapshot.models()) == {"tiny"}
    directory.offer(signed(identity, 2, lease_ms=0))
    assert directory.snapshot().models() == {}
    assert directory.ever_seen_model("tiny")
    assert not directory.ever_seen_model("huge")
    assert directory.departed(identity.peer_id)


async def test_load_comes_by_renewals_which_wake_only_those_who_ask_for_them(directory, identity):
    first = signed(identity, 1)
    directory.offer(first)
    picture = directory.snapshot()
    body = Renewal("n", identity.peer_id, 2, WALL, 15_000, 0, 7, first.digest)
    raw = sign_renewal(body, identity).raw
    assert directory.renew_raw(raw).kind is ChangeKind.RENEWED
    assert (await directory.wait_word(picture.version)).adverts[identity.peer_id].advert.queued == 7
    assert picture.adverts[identity.peer_id].advert.queued == 0
    with trio.testing.assert_checkpoints(), trio.move_on_after(0) as scope:
        await directory.wait_change(picture.version)
    assert scope.cancelled_caught
    assert directory.renew_raw(raw) is Refusal.OLD
    assert directory.refusals == {"old": 1}
    assert list(directory.changed_since(picture.version)) == [identity.peer_id]
    assert list(directory.changed_since(directory.version)) == []


async def test_a_late_joiner_takes_a_renewal_together_with_its_advert(directory, identity):
    first = signed(identity, 1)
    raw = sign_renewal(Renewal("n", identity.peer_id, 2, WALL, 15_000, 0, 0, first.digest), identity).raw
    assert directory.renew_raw(raw) is Refusal.NO_ADVERT
    assert directory.renew_raw(raw, first.raw).kind is ChangeKind.JOINED
    forged = sign_renewal(Renewal("n", identity.peer_id, 3, WALL, 15_000, 0, 0, bytes(16)), identity).raw
    assert directory.renew_raw(forged, first.raw) is Refusal.NO_ADVERT


async def test_a_clock_beyond_tolerance_is_refused_counted_and_said_once(identity):
    directory = Directory(network="n", clock_ms=lambda: WALL - 31_000)
    with capture_logs() as lines:
        for seq in range(1, 4):
            assert directory.offer(signed(identity, seq)) is Refusal.FROM_FUTURE
    assert directory.refusals == {"from the future": 3}
    said = [line for line in lines if line["event"] == "word_refused"]
    assert [(line["reason"], line["ahead_ms"]) for line in said] == [("from the future", 31_000)]


async def test_a_suspect_is_hidden_and_shown_again(directory, identity):
    directory.offer(signed(identity, 1))
    version = directory.version
    directory.suspect(identity.peer_id)
    assert (await directory.wait_change(version)).adverts == {}
    directory.offer(signed(identity, 2))
    assert identity.peer_id in directory.snapshot().adverts


async def test_bytes_that_are_not_genuine_change_nothing(directory, identity):
    raw = bytearray(signed(identity, 1).raw)
    raw[-1] ^= 1
    with pytest.raises(WireError):
        directory.offer_raw(bytes(raw))
    foreign = Directory(network="another", clock_ms=lambda: WALL)
    with pytest.raises(WireError):
        foreign.offer_raw(signed(identity, 1).raw)
    assert directory.snapshot().adverts == {}


async def test_the_clock_of_a_neighbour_is_estimated_told_once_and_shown(identity):
    directory = Directory(network="n", clock_ms=lambda: WALL + 20_000)
    with capture_logs() as lines:
        directory.offer(signed(identity, 1))
        assert directory.skew_ms(identity.peer_id) is None  # by way of others: its age is anybody's word
        for seq in (2, 3, 4):
            directory.offer_raw(signed(identity, seq).raw, direct=True)
    assert directory.skew_ms(identity.peer_id) == -20_000
    assert identity.peer_id in directory.snapshot().adverts
    assert [line["ahead_ms"] for line in lines if line["event"] == "peer_clock_is_off"] == [-20_000]


async def test_a_clock_that_is_refused_is_shown_too_and_if_it_is_ours_that_is_said():
    directory = Directory(network="n", clock_ms=lambda: WALL - 300_000)
    others = [Identity.from_seed(RNG.randbytes(32)) for _ in range(4)]
    with capture_logs() as lines:
        for other in others:
            assert directory.offer_raw(signed(other, 1).raw, direct=True)[1] is Refusal.FROM_FUTURE
    assert directory.skew_ms(others[0].peer_id) == directory.own_skew_ms() == 300_000
    assert [line["behind_ms"] for line in lines if line["event"] == "own_clock_is_off"] == [300_000]
