"""Clock offsets are estimated from what is heard directly, told once, and our own clock is not taken on trust."""

from peernode.mesh.clock_skew import MAX_REMEMBERED, ClockSkew

WALL = 1_700_000_000_000


def test_delays_do_not_look_like_slow_clocks():
    skew = ClockSkew()
    for delay_ms in (900, 40, 2_000, 700):
        assert not skew.heard("p", WALL - delay_ms, WALL)
    assert skew.of("p") == -40
    assert skew.of("stranger") is None


def test_a_clock_that_is_off_is_told_once_in_both_directions():
    skew = ClockSkew()
    assert skew.heard("ahead", WALL + 20_000, WALL)
    assert skew.heard("behind", WALL - 20_000, WALL)
    assert not skew.heard("ahead", WALL + 20_000, WALL)
    assert (skew.of("ahead"), skew.of("behind")) == (20_000, -20_000)


def test_a_clock_that_was_set_right_is_seen_as_such():
    skew = ClockSkew()
    skew.heard("p", WALL + 20_000, WALL)
    for _ in range(5):
        skew.heard("p", WALL - 100, WALL)
    assert skew.of("p") == -100


def test_when_most_others_agree_it_is_our_own_clock():
    skew = ClockSkew()
    skew.heard("a", WALL + 20_000, WALL)
    skew.heard("b", WALL + 21_000, WALL)
    assert skew.own() is None
    skew.heard("liar", WALL - 10**9, WALL)
    assert skew.own() == 20_000


def test_memory_is_bounded():
    skew = ClockSkew()
    for number in range(MAX_REMEMBERED + 50):
        skew.heard(f"p{number}", WALL + 20_000, WALL)
    assert len(skew._samples) == len(skew._told) == MAX_REMEMBERED
