"""Nobody but the originator extends, kills or resurrects a lease."""

import dataclasses
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from peernode.mesh.leases import CLOCK_TOLERANCE_MS, ChangeKind, LeaseTable, Refusal
from peernode.wire.advert import Advert, SignedAdvert
from peernode.wire.renewal import Renewal, SignedRenewal
from tests.samples import CARD

WALL = 1_000_000_000
LEASE = 15_000


def advert(peer="p", seq=1, *, issued_ms=WALL, lease_ms=LEASE, free_slots=1, version="0"):
    body = Advert(
        network="n",
        peer=peer,
        seq=seq,
        issued_ms=issued_ms,
        lease_ms=lease_ms,
        addresses=(),
        version=version,
        slots=1,
        free_slots=free_slots,
        queued=0,
    )
    raw = repr(body).encode()
    return SignedAdvert(body, raw, hashlib.blake2b(raw, digest_size=16).digest())


def renewal(of, seq, *, issued_ms=WALL, lease_ms=LEASE, free_slots=1, peer=None):
    peer = peer or of.advert.peer
    body = Renewal("n", peer, seq, issued_ms, lease_ms, free_slots, 0, of.digest)
    return SignedRenewal(body, f"{peer}/{seq}".encode())


def renew(table, signed, now_ms=0, *, age_ms=0, with_=None):
    return table.renew(signed, now_ms=now_ms, wall_ms=WALL + now_ms, age_ms=age_ms, advert=with_)


def offer(table, signed, now_ms=0, *, wall_ms=None, age_ms=0):
    return table.offer(signed, now_ms=now_ms, wall_ms=WALL + now_ms if wall_ms is None else wall_ms, age_ms=age_ms)


def live(table):
    return set(table.visible())


def test_a_lease_runs_from_receipt_and_ends_exactly_when_due():
    table = LeaseTable()
    assert offer(table, advert(), 100).kind is ChangeKind.JOINED
    assert table.next_expiry() == 100 + LEASE
    assert table.expire(100 + LEASE - 1) == []
    (change,) = table.expire(100 + LEASE)
    assert (change.kind, change.peer) == (ChangeKind.EXPIRED, "p")
    assert live(table) == set()
    assert table.next_expiry() is None


def test_receiving_the_same_advert_again_extends_nothing():
    table = LeaseTable()
    offer(table, advert(), 0)
    assert offer(table, advert(), 10_000) is Refusal.OLD
    assert table.next_expiry() == LEASE


def test_a_newer_advert_extends_and_an_older_one_does_not():
    table = LeaseTable()
    offer(table, advert(seq=2), 0)
    assert offer(table, advert(seq=1), 5_000) is Refusal.OLD
    assert offer(table, advert(seq=3, free_slots=0), 5_000).kind is ChangeKind.RENEWED
    assert offer(table, advert(seq=4, version="1"), 6_000).kind is ChangeKind.CHANGED
    assert table.next_expiry() == 6_000 + LEASE


def test_load_and_measured_rates_are_no_news_but_what_is_offered_is():
    def offering(seq, **changes):
        card = dataclasses.replace(CARD, **changes)
        return SignedAdvert(
            dataclasses.replace(advert(seq=seq, free_slots=seq).advert, models=(card,)), b"", bytes([seq] * 16)
        )

    table = LeaseTable()
    offer(table, offering(1))
    assert offer(table, offering(2, decode_tps=99, prefill_tps=999)).kind is ChangeKind.RENEWED
    assert offer(table, offering(3, price_prompt=7)).kind is ChangeKind.CHANGED


def test_a_renewal_extends_the_advert_that_it_names_and_brings_the_load():
    table = LeaseTable()
    first = advert(seq=1, free_slots=1)
    offer(table, first, 0)
    change = renew(table, renewal(first, 5, lease_ms=60_000, free_slots=0), 4_000)
    assert change.kind is ChangeKind.RENEWED
    assert table.next_expiry() == 64_000
    assert table.visible()["p"].advert == dataclasses.replace(first.advert, seq=5, lease_ms=60_000, free_slots=0)
    assert renew(table, renewal(first, 5), 5_000) is Refusal.OLD
    assert offer(table, advert(seq=4), 5_000) is Refusal.OLD
    holding = table.holding("p", 6_000)
    assert (holding.standing.signed, holding.standing.renewal.renewal.seq, holding.age_ms) == (first, 5, 2_000)


def test_a_renewal_without_its_advert_does_nothing_and_with_it_everything():
    first, other = advert(seq=1), advert(seq=2, version="1")
    table = LeaseTable()
    assert renew(table, renewal(first, 5)) is Refusal.NO_ADVERT
    offer(table, other, 0)
    assert renew(table, renewal(first, 5)) is Refusal.NO_ADVERT
    assert renew(table, renewal(first, 5), with_=other) is Refusal.NO_ADVERT
    assert renew(table, renewal(first, 5, peer="q"), with_=first) is Refusal.NO_ADVERT
    assert renew(table, renewal(other, 1), with_=other) is Refusal.OLD
    assert len(table) == 1
    assert renew(table, renewal(first, 5), with_=first).kind is ChangeKind.CHANGED
    # The advert alone is long over by its own lease; its renewal is not.
    late = LeaseTable()
    now = 600_000
    assert offer(late, first, now) is Refusal.LONG_OVER
    assert renew(late, renewal(first, 5, issued_ms=WALL + now), now, with_=first).kind is ChangeKind.JOINED


def test_a_departure_cannot_be_renewed():
    table = LeaseTable()
    offer(table, advert(seq=1), 0)
    gone = advert(seq=2, lease_ms=0)
    offer(table, gone, 0)
    assert renew(table, renewal(gone, 3), with_=gone) is Refusal.NO_ADVERT
    assert live(table) == set()


def test_a_word_older_than_half_its_lease_is_overdue():
    table = LeaseTable()
    offer(table, advert(), 0, age_ms=2_000)
    assert table.late(LEASE // 2 - 2_000) == []
    assert table.late(LEASE // 2 - 1_999) == ["p"]


def test_many_renewals_leave_nothing_behind():
    table = LeaseTable()
    first = advert()
    offer(table, first, 0)
    for seq in range(2, 500):
        renew(table, renewal(first, seq), seq)
        assert len(table._ends) <= 68
    assert table.next_expiry() == 499 + LEASE


def test_a_departure_removes_and_its_replay_or_an_older_advert_cannot_resurrect():
    table = LeaseTable()
    offer(table, advert(seq=1), 0)
    assert offer(table, advert(seq=2, lease_ms=0), 10).kind is ChangeKind.DEPARTED
    assert offer(table, advert(seq=1), 20) is Refusal.OLD
    assert offer(table, advert(seq=2, lease_ms=0), 20) is Refusal.OLD
    assert live(table) == set()
    assert offer(table, advert(seq=3), 30).kind is ChangeKind.JOINED


def test_an_expired_advert_cannot_come_back_as_long_as_its_time_would_let_it():
    table = LeaseTable()
    offer(table, advert(), 0)
    table.expire(LEASE)
    for now in range(LEASE, LEASE + 4 * CLOCK_TOLERANCE_MS, 1000):
        table.expire(now)
        assert isinstance(offer(table, advert(), now, wall_ms=WALL + now), Refusal)


def test_adverts_out_of_their_time_are_refused_beyond_thirty_seconds():
    table = LeaseTable()
    assert offer(table, advert(issued_ms=WALL + CLOCK_TOLERANCE_MS + 1)) is Refusal.FROM_FUTURE
    assert offer(table, advert(issued_ms=WALL - LEASE - CLOCK_TOLERANCE_MS - 1)) is Refusal.LONG_OVER
    assert offer(table, advert(peer="ahead", issued_ms=WALL + CLOCK_TOLERANCE_MS)).kind is ChangeKind.JOINED
    assert offer(table, advert(peer="behind", issued_ms=WALL - CLOCK_TOLERANCE_MS)).kind is ChangeKind.JOINED


def test_no_lease_outlives_its_originators_clock_and_the_tolerance_whatever_age_is_told():
    table = LeaseTable()
    offer(table, advert(issued_ms=WALL - 2 * LEASE, lease_ms=LEASE), age_ms=0)
    assert table.next_expiry() == CLOCK_TOLERANCE_MS - LEASE


def test_time_under_way_counts_but_a_liar_takes_half_a_lease_at_most():
    table = LeaseTable()
    offer(table, advert(), 0, age_ms=4_000)
    assert table.next_expiry() == LEASE - 4_000
    liar = LeaseTable()
    offer(liar, advert(), 0, age_ms=LEASE - 1)
    assert liar.next_expiry() == LEASE // 2
    assert offer(LeaseTable(), advert(), 0, age_ms=LEASE) is Refusal.AGED


def test_what_is_handed_on_carries_its_age():
    table = LeaseTable()
    offer(table, advert(), 1_000, age_ms=2_000)
    assert table.holding("p", 4_000).age_ms == 5_000


def test_a_suspect_is_hidden_until_it_says_something_new():
    table = LeaseTable()
    offer(table, advert(seq=1), 0)
    assert table.suspect("p")
    assert live(table) == set()
    assert offer(table, advert(seq=1), 10) is Refusal.OLD
    assert live(table) == set()
    assert offer(table, advert(seq=2), 20).kind is ChangeKind.CHANGED
    assert live(table) == {"p"}


def test_peers_and_tombstones_are_bounded():
    table = LeaseTable(max_peers=3, max_tombstones=5)
    for n in range(10):
        offer(table, advert(peer=f"p{n}"), 0)
    assert len(table) == 3
    for n in range(100):
        offer(table, advert(peer=f"gone{n}", lease_ms=0), 0)
    assert len(table.digest()) == 3 + 5


steps = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "leave", "replay", "replay", "age", "tick", "suspect"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 8_000),
    ),
    max_size=60,
)


@given(steps)
def test_in_any_interleaving_only_the_originator_extends_kills_or_resurrects(script):
    table = LeaseTable()
    now = 0
    said = {peer: [] for peer in "abc"}
    model = {}  # peer -> (seq, latest possible end, earliest possible end)
    for action, peer, amount in script:
        if action in ("say", "leave"):
            fresh = advert(peer, len(said[peer]) + 1, issued_ms=WALL + now, lease_ms=0 if action == "leave" else LEASE)
            said[peer].append(fresh)
            offer(table, fresh, now)
            model[peer] = (fresh.advert.seq, now + LEASE, now + LEASE) if action == "say" else None
        elif action in ("replay", "age") and said[peer]:
            old = said[peer][amount % len(said[peer])]
            before = dataclasses.astuple(table._leases[peer]) if peer in table._leases else None
            offer(table, old, now, age_ms=amount if action == "age" else 0)
            after = dataclasses.astuple(table._leases[peer]) if peer in table._leases else None
            assert before == after
        elif action == "tick":
            now += amount
            table.expire(now)
        elif action == "suspect":
            table.suspect(peer)
        expected = {p for p, lease in model.items() if lease is not None and lease[1] > now}
        assert set(table._leases) == expected
        assert all(table._leases[p].standing.advert.seq == model[p][0] for p in expected)


@given(st.permutations([advert(seq=n, lease_ms=0 if n == 5 else LEASE) for n in range(1, 8)]), st.data())
def test_the_order_of_arrival_does_not_matter(arrivals, data):
    table = LeaseTable()
    for signed in arrivals:
        offer(table, signed, 0)
        if data.draw(st.booleans()):
            offer(table, data.draw(st.sampled_from(arrivals[: arrivals.index(signed) + 1])), 0)
    (standing,) = table.visible().values()
    assert standing.advert.seq == 7
