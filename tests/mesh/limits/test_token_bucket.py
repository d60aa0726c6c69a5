"""A bucket grants its burst, then its rate, and never more."""

from hypothesis import given
from hypothesis import strategies as st

from peernode.mesh.limits.token_bucket import MAX_REMEMBERED, KeyedBuckets, TokenBucket


def test_burst_then_rate():
    bucket = TokenBucket(per_second=2.0, burst=3.0)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(10.4)
    assert bucket.take(10.5)
    assert not bucket.take(10.5)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_never_more_than_burst_and_rate_together(pauses):
    bucket = TokenBucket(per_second=3.0, burst=7.0)
    now, granted = 0.0, 0
    for pause in pauses:
        now += pause
        granted += bucket.take(now)
    assert granted <= 7.0 + 3.0 * now + 1e-6


def test_a_debt_is_paid_in_time():
    bucket = TokenBucket(per_second=10.0, burst=5.0)
    assert bucket.owe(0.0, 5.0) == 0.0
    assert bucket.owe(0.0, 5.0) == 0.5
    assert bucket.owe(0.5, 0.0) == 0.0


def test_a_clock_that_stands_still_or_runs_back_gains_nothing():
    bucket = TokenBucket(per_second=1.0, burst=1.0)
    assert bucket.take(5.0)
    assert not bucket.take(1.0)


def test_keys_do_not_share_and_are_bounded():
    buckets = KeyedBuckets(per_second=0.001, burst=1.0)
    assert buckets.take("a", 0.0)
    assert buckets.take("b", 0.0)
    assert not buckets.take("a", 0.0)
    for number in range(MAX_REMEMBERED):
        buckets.take(f"x{number}", 0.0)
    assert buckets.take("a", 0.0)  # forgotten
