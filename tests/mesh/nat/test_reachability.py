"""The verdict over rounds."""

import pytest

from peernode.mesh.nat.reachability import Answer, Reach, Reachability, Verdict, is_local, remedy

OUTSIDE = "198.51.100.20"
HOME = "192.168.1.2"


def said(reached, host=OUTSIDE, helper="h"):
    return Answer(helper, host, 4701, reached)


def test_nothing_is_known_before_somebody_tried():
    state = Reachability()
    assert not state.take([], [HOME])
    assert state.verdict.reach is Reach.UNKNOWN
    assert state.unsettled


@pytest.mark.parametrize(
    ("own", "reached", "reach", "reason"),
    [
        ([OUTSIDE], True, Reach.PUBLIC, ""),
        ([HOME], True, Reach.PUBLIC, ""),
        ([HOME], False, Reach.PRIVATE, "nat"),
        ([OUTSIDE], False, Reach.PRIVATE, "firewall"),
    ],
)
def test_the_first_round_decides(own, reached, reach, reason):
    state = Reachability()
    assert state.take([said(reached)], own)
    assert (state.verdict.reach, state.verdict.reason) == (reach, reason)
    assert not state.unsettled


def test_the_majority_of_a_round_counts_and_a_tie_says_nothing():
    state = Reachability()
    assert not state.take([said(True), said(False)], [HOME])
    assert state.verdict.reach is Reach.UNKNOWN
    assert state.take([said(True), said(False), said(True)], [HOME])
    assert state.verdict.reach is Reach.PUBLIC


def test_it_takes_two_rounds_in_a_row_to_turn():
    state = Reachability()
    state.take([said(True)], [OUTSIDE])
    assert not state.take([said(False)], [OUTSIDE])
    assert state.unsettled
    state.take([said(True)], [OUTSIDE])
    assert not state.unsettled
    assert not state.take([said(False)], [OUTSIDE])
    assert state.take([said(False)], [OUTSIDE])
    assert state.verdict == Verdict(Reach.PRIVATE, OUTSIDE, 4701, nat=False)


def test_the_same_again_is_no_news_but_another_address_is():
    state = Reachability()
    assert state.take([said(False)], [HOME])
    assert not state.take([said(False)], [HOME])
    assert state.take([said(False, host="198.51.100.99")], [HOME])
    assert state.verdict.host == "198.51.100.99"


def test_peers_in_the_same_house_count_only_when_there_are_no_others():
    state = Reachability()
    state.take([said(True, host=HOME), said(True, host=HOME), said(False)], [HOME])
    assert state.verdict.reach is Reach.PRIVATE
    alone = Reachability()
    alone.take([said(True, host=HOME)], [HOME])
    assert alone.verdict.reach is Reach.PUBLIC


def test_after_a_move_nothing_is_known():
    state = Reachability()
    state.take([said(True)], [OUTSIDE])
    state.forget()
    assert state.verdict.reach is Reach.UNKNOWN
    assert state.take([said(False)], [HOME])


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("192.168.0.1", True),
        ("100.64.1.1", True),
        ("fd00::1", True),
        ("fe80::1", True),
        ("nonsense", True),
        ("198.51.100.1", False),
        ("8.8.8.8", False),
        ("2001:4860:4860::8888", False),
    ],
)
def test_local_addresses_are_known(host, local):
    assert is_local(host) is local


def test_the_remedy_names_port_address_and_relays():
    nat = remedy(Verdict(Reach.PRIVATE, OUTSIDE, 4701, nat=True), ["R1", "R2"])
    assert "4701" in nat
    assert OUTSIDE in nat
    assert "R1 and R2" in nat
    wall = remedy(Verdict(Reach.PRIVATE, OUTSIDE, 4702), [])
    assert "4702 in the firewall" in wall
    assert "no relay" in wall
    assert "Nothing to do" in remedy(Verdict(Reach.PUBLIC, OUTSIDE, 4701), [])
    assert "Not known" in remedy(Verdict(), [])
