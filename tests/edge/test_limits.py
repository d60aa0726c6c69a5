"""Limits of a key by the minute, with a clock of the test's own."""

from __future__ import annotations

import pytest

from peernode.edge.limits import MinuteBucket, RateLimits, TooManyRequests, TooManyTokens
from peernode.ledger.client_key import ClientKey, KeyLimits


def key(**limits: int) -> ClientKey:
    return ClientKey("k", "shop", 0, KeyLimits(**limits))


def test_a_key_without_limits_has_no_room_to_show():
    ticket = RateLimits().admit(key(), 10**9, 0.0)
    assert ticket.room is None
    ticket.settle(5, 0.0)


def test_requests_come_back_evenly():
    rates, limited = RateLimits(), key(requests_per_minute=3)
    assert [rates.admit(limited, 1, 0.0).room.remaining for _ in range(3)] == [2, 1, 0]
    with pytest.raises(TooManyRequests) as found:
        rates.admit(limited, 1, 0.0)
    assert (found.value.retry_after_s, found.value.room.limit, found.value.room.remaining) == (20.0, 3, 0)
    assert found.value.room.whole_in_s == 60.0
    with pytest.raises(TooManyRequests):
        rates.admit(limited, 1, 19.9)
    rates.admit(limited, 1, 20.0)
    assert rates.admit(limited, 1, 1000.0).room.remaining == 2


def test_headers_name_the_second_in_which_all_is_back():
    room = RateLimits().admit(key(requests_per_minute=60), 1, 100.0).room
    assert room.headers(100.0) == [
        (b"x-ratelimit-limit", b"60"),
        (b"x-ratelimit-remaining", b"59"),
        (b"x-ratelimit-reset", b"101"),
    ]


def test_tokens_are_reserved_and_then_counted():
    rates, limited = RateLimits(), key(tokens_per_minute=100)
    ticket = rates.admit(limited, 60, 0.0)
    with pytest.raises(TooManyTokens) as found:
        rates.admit(limited, 60, 0.0)
    assert found.value.retry_after_s == pytest.approx(12.0)
    ticket.settle(10, 0.0)
    assert rates.admit(limited, 60, 0.0).room.remaining == 30


def test_an_answer_longer_than_its_reserve_leaves_a_debt():
    rates, limited = RateLimits(), key(tokens_per_minute=60)
    rates.admit(limited, 10, 0.0).settle(90, 0.0)
    with pytest.raises(TooManyTokens) as found:
        rates.admit(limited, 1, 0.0)
    assert found.value.retry_after_s == pytest.approx(31.0)
    rates.admit(limited, 1, 31.0)


def test_a_request_over_the_whole_limit_waits_for_all_of_it():
    rates, limited = RateLimits(), key(tokens_per_minute=60)
    rates.admit(limited, 1000, 0.0).settle(1000, 0.0)
    with pytest.raises(TooManyTokens) as found:
        rates.admit(limited, 1000, 0.0)
    assert found.value.retry_after_s == pytest.approx(1000.0)


def test_who_is_refused_for_tokens_keeps_his_request():
    rates, limited = RateLimits(), key(requests_per_minute=2, tokens_per_minute=10)
    rates.admit(limited, 10, 0.0)
    for _ in range(5):
        with pytest.raises(TooManyTokens):
            rates.admit(limited, 10, 0.0)
    assert rates.admit(limited, 10, 60.0).room.remaining == 1


def test_a_limit_that_is_changed_counts_what_was_used():
    bucket = MinuteBucket(10, 0.0)
    bucket.take(8, 0.0)
    bucket.resize(5)
    assert bucket.room(0.0).remaining == 0
    bucket.resize(20)
    assert bucket.room(0.0).remaining == 12
    rates = RateLimits()
    rates.admit(key(requests_per_minute=2), 1, 0.0)
    assert rates.admit(key(requests_per_minute=10), 1, 0.0).room.remaining == 8
    assert rates.admit(key(), 1, 0.0).room is None


def test_time_that_goes_back_takes_nothing_away():
    bucket = MinuteBucket(10, 100.0)
    bucket.take(5, 100.0)
    assert bucket.room(50.0).remaining == 5
