"""Strangers cannot take what is kept for others, whatever they do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.mesh.limits.acquaintances import Acquaintances
from peernode.mesh.limits.admission import (
    CONNECT_BURST_PER_PEER,
    HANDSHAKE_BURST_PER_ADDRESS,
    HANDSHAKES_PER_ADDRESS,
    MAX_HANDSHAKES,
    TOO_OFTEN,
    Admission,
    Handshake,
    Seat,
    Standing,
    address_group,
)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def make(clock, *, known=(), named=(), known_addresses=(), max_connections=100, per_address=8):
    def standing(peer):
        return Standing.NAMED if peer in named else Standing.KNOWN if peer in known else Standing.STRANGER

    return Admission(
        max_connections=max_connections,
        per_address=per_address,
        standing=standing,
        knows_address=lambda address: address in known_addresses,
        clock=clock,
    )


def test_the_oldest_handshake_of_a_crowded_address_gives_way(clock):
    admission, gone = make(clock), []
    for number in range(HANDSHAKES_PER_ADDRESS + 2):
        assert isinstance(admission.knock("a", lambda n=number: gone.append(n)), Handshake)
    assert gone == [0, 1]
    assert admission.handshakes == HANDSHAKES_PER_ADDRESS


def test_when_all_are_taken_the_most_crowded_address_gives_way_and_never_a_known_one(clock):
    admission, gone = make(clock, known_addresses={"friends"}), []

    def knock(address):
        return admission.knock(address, lambda: gone.append(address))

    for _ in range(20):
        knock("friends")
    for number in range(MAX_HANDSHAKES - 20):
        knock(f"bot{number // 10}")
    assert gone == []
    knock("newcomer")
    assert gone == ["bot0"]
    assert admission.handshakes == MAX_HANDSHAKES


def test_handshakes_of_one_address_are_limited_in_rate_and_others_are_not(clock):
    admission = make(clock)
    begun = 0
    while isinstance(handshake := admission.knock("a", lambda: None), Handshake):
        admission.leave(handshake)
        begun += 1
    assert begun == HANDSHAKE_BURST_PER_ADDRESS
    assert handshake == "too many handshakes from one address"
    assert isinstance(admission.knock("b", lambda: None), Handshake)
    clock.now += 1
    assert isinstance(admission.knock("a", lambda: None), Handshake)


def test_strangers_leave_room_for_the_known_and_those_for_the_named(clock):
    known, named = {f"k{n}" for n in range(50)}, {f"n{n}" for n in range(50)}
    admission = make(clock, known=known, named=named, max_connections=40, per_address=40)

    def seat_all(prefix):
        return sum(isinstance(admission.take_seat("x", f"{prefix}{n}"), Seat) for n in range(50))

    assert (seat_all("s"), seat_all("k"), seat_all("n")) == (30, 6, 4)
    assert admission.seats == 40
    assert admission.take_seat("y", "s99") == "too many connections"


def test_one_address_and_one_peer_have_their_limits(clock):
    admission = make(clock, known={"k"}, per_address=3)
    seats = [admission.take_seat("a", f"s{n}") for n in range(3)]
    assert admission.take_seat("a", "s9") == "too many connections from one address"
    assert isinstance(admission.take_seat("a", "k"), Seat)  # known
    assert isinstance(admission.take_seat("b", "s9"), Seat)
    clock.now += 2
    assert admission.give_up(seats[0]) == 2
    again = [admission.take_seat("a", "s9") for _ in range(2)]
    assert isinstance(again[0], Seat)
    for _ in range(3):
        admission.take_seat("c", "k")
    assert admission.take_seat("d", "k") == "too many connections of one peer"


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.floats(0, 0.5)), max_size=400))
def test_the_accounts_are_right_whatever_the_order(steps):
    clock = Clock()
    admission = make(clock)
    open_now = {}

    for number, (address, ends, pause) in enumerate(steps):
        clock.now += pause
        if ends and open_now:
            handshake = open_now.pop(next(iter(open_now)))
            admission.leave(handshake)
        else:
            verdict = admission.knock(address, lambda n=number: open_now.pop(n))
            if isinstance(verdict, Handshake):
                open_now[number] = verdict
        assert admission.handshakes == len(open_now) <= MAX_HANDSHAKES
        by_address = [h.address for h in open_now.values()]
        assert max(map(by_address.count, by_address), default=0) <= HANDSHAKES_PER_ADDRESS


@pytest.mark.parametrize(
    ("ip", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("not an address", "not an address"),
    ],
)
def test_what_counts_as_one_address(ip, group):
    assert address_group(ip) == group


def test_who_is_known(clock):
    directory = {"d": ["/ip4/192.0.2.4/tcp/1", "/ip6/2001:db8::5/tcp/1", "/dns4/x/tcp/1", ""]}
    people = Acquaintances(
        named={"n": ["/ip4/192.0.2.1/tcp/1"]},
        advertised=lambda: directory,
        listed=lambda peer: peer in directory,
        clock=clock,
    )
    people.met("m", "192.0.2.9")
    assert [people.standing(peer) for peer in "nmds"] == [
        Standing.NAMED,
        Standing.KNOWN,
        Standing.KNOWN,
        Standing.STRANGER,
    ]
    assert all(people.knows_address(a) for a in ("192.0.2.1", "192.0.2.4", "2001:db8::/64", "192.0.2.9"))
    assert not people.knows_address("192.0.2.2")
    for number in range(2000):
        people.met(f"x{number}", "192.0.2.9")
    assert people.standing("m") is Standing.STRANGER


def test_a_peer_that_comes_and_goes_too_often_is_not_seated_but_those_of_the_operator_are(clock):
    admission = make(clock, named={"named"}, known={"known"})

    def come_and_go(peer):
        verdict = admission.take_seat("a", peer)
        if isinstance(verdict, Seat):
            admission.give_up(verdict)
        return verdict

    for peer in ("stranger", "known"):
        verdicts = [come_and_go(peer) for _ in range(int(CONNECT_BURST_PER_PEER) + 1)]
        assert all(isinstance(verdict, Seat) for verdict in verdicts[:-1])
        assert verdicts[-1] == TOO_OFTEN
    assert all(isinstance(come_and_go("named"), Seat) for _ in range(100))
    clock.now += 2.0
    assert isinstance(come_and_go("stranger"), Seat)
