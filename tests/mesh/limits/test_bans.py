"""Misbehaviour adds up to a ban, is forgiven with time, and is banned for longer each time."""

import pytest

from peernode.mesh.limits.bans import FIRST_BAN_S, HALF_LIFE_S, LONGEST_BAN_S, MAX_REMEMBERED, Ban, BanTable


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def table(clock, told):
    return BanTable(clock=clock, on_ban=told.append)


def test_below_the_weight_of_one_nobody_is_banned(table, told):
    for _ in range(9):
        table.report("p", "noise", 0.1)
    assert table.ban_of("p") is None
    assert (table.bans(), told) == ([], [])


def test_at_the_weight_of_one_the_peer_is_banned_and_it_is_told_why(table, told, clock):
    table.report("p", "first", 0.5)
    table.report("p", "forged adverts", 0.5, address="192.0.2.1")
    ban = Ban("p", "192.0.2.1", "forged adverts", clock.now + FIRST_BAN_S)
    assert table.ban_of("p") == ban
    assert table.bans() == [ban]
    assert told == [ban]
    assert table.ban_of("q") is None


def test_misbehaviour_is_forgiven_with_time(table, clock):
    for _ in range(50):
        table.report("p", "now and then", 0.45)
        clock.now += HALF_LIFE_S
        assert table.ban_of("p") is None


def test_a_ban_ends_and_the_next_is_twice_as_long_up_to_an_hour(table, clock):
    lengths = []
    for _ in range(10):
        table.report("p", "again", 1.0)
        lengths.append(table.ban_of("p").until_s - clock.now)
        clock.now = table.ban_of("p").until_s
        assert table.ban_of("p") is None
    assert lengths[:3] == [FIRST_BAN_S, 2 * FIRST_BAN_S, 4 * FIRST_BAN_S]
    assert lengths[-1] == LONGEST_BAN_S


def test_reports_during_a_ban_do_not_lengthen_it(table, clock):
    table.report("p", "x", 1.0)
    until = table.ban_of("p").until_s
    clock.now += 1
    table.report("p", "x", 5.0)
    assert table.ban_of("p").until_s == until


def test_an_address_that_is_slowed_down_is_shown_for_a_while(table, clock):
    table.slow_down("192.0.2.1", "too many handshakes", 10.0)
    assert table.bans() == [Ban("", "192.0.2.1", "too many handshakes", clock.now + 10.0)]
    clock.now += 10
    assert table.bans() == []


def test_memory_is_bounded(table):
    for number in range(MAX_REMEMBERED * 2):
        table.report(f"p{number}", "x", 1.0)
        table.slow_down(f"a{number}", "x", 10.0)
    assert len(table.bans()) <= 2 * MAX_REMEMBERED
