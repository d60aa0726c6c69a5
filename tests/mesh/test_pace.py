"""What renewals and load cost a node does not grow with the network, and leases stay within their bounds."""

from hypothesis import given
from hypothesis import strategies as st

from peernode.mesh.pace import lease_ms, load_pause_s, renew_every_s
from peernode.wire.advert import MAX_LEASE_MS


def test_a_small_network_renews_every_five_seconds_on_leases_of_fifteen():
    for live in (0, 1, 20, 50):
        assert (renew_every_s(live), lease_ms(live)) == (5.0, 15_000)
    assert load_pause_s(10) == 0.25


def test_a_large_one_stretches_both_up_to_a_bound():
    assert (renew_every_s(500), lease_ms(500)) == (50.0, 150_000)
    assert (renew_every_s(10**6), lease_ms(10**6)) == (95.0, 285_000)


@given(st.integers(0, 950))
def test_all_together_say_a_fixed_number_of_words_a_second(live):
    assert live / renew_every_s(live) <= 10.001
    assert live / load_pause_s(live) <= 40.001 or live <= 10
    assert load_pause_s(live) <= renew_every_s(live)
    assert lease_ms(live) <= MAX_LEASE_MS
