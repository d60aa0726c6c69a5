"""What a node learns of a peer from jobs: speed in spite of queues, crowding, lateness, faith; and whom it believes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from peernode.market.routing.pace import SLOW_DECODE_TPS, TYPICAL_JOB_S
from peernode.market.routing.records import MAX_RECORDS, Records
from peernode.market.routing.track_record import LATENESS_LEAST, Sighting, TrackRecord
from tests.samples import CARD


def sighting(*, prefill_s=0.001, decode_s=0.02, prompt=1000, cached=0, answer=101, wait_s=0.0, **more) -> Sighting:
    first = wait_s + (prompt - cached) * prefill_s
    return Sighting(prompt, cached, answer, first, first + (answer - 1) * decode_s, **more)


def test_until_something_was_measured_the_advert_stands_in() -> None:
    pace = TrackRecord().pace(500, 50)
    assert (pace.prefill_s, pace.decode_s) == (pytest.approx(0.002), pytest.approx(0.02))
    assert TrackRecord().pace(0, 0).decode_s == pytest.approx(1 / SLOW_DECODE_TPS)
    assert TrackRecord().pace(0, 0).job_s == TYPICAL_JOB_S


def test_measured_rates_take_over_from_the_advert() -> None:
    record = TrackRecord()
    for _ in range(8):
        record.saw(sighting())
    pace = record.pace(100_000, 10_000)
    assert pace.prefill_s == pytest.approx(0.001, rel=0.1)
    assert pace.decode_s == pytest.approx(0.02, rel=0.1)
    assert record.measured() == (pytest.approx(1000), pytest.approx(50))


def test_waiting_behind_others_is_not_taken_for_slowness() -> None:
    record = TrackRecord()
    record.saw(sighting())
    for at in range(20):
        record.saw(sighting(wait_s=30.0, queue_s=30.0, at_s=float(at)))
    assert record.pace(1000, 50).prefill_s == pytest.approx(0.001, rel=0.1)


def test_a_peer_that_has_become_slow_is_noticed() -> None:
    record = TrackRecord()
    record.saw(sighting())
    for at in range(30):
        record.saw(sighting(prefill_s=0.01, at_s=at * 10.0))
    assert record.pace(0, 0).prefill_s > 0.005


def test_what_came_late_is_expected_to_come_late_again_for_a_while() -> None:
    record = TrackRecord()
    record.saw(sighting(at_s=100.0))
    record.saw(sighting(wait_s=9.0, at_s=110.0))
    assert record.delay(110.0) == pytest.approx(9.0, rel=0.2)
    assert 2.0 < record.delay(118.0) < 5.0
    assert record.delay(200.0) < 0.01


def test_a_cached_prompt_tells_nothing_of_the_speed_of_prompts() -> None:
    record = TrackRecord()
    record.saw(sighting())
    record.saw(sighting(prompt=1000, cached=990, wait_s=5.0, queue_s=5.0))
    assert record.pace(1000, 50).prefill_s == pytest.approx(0.001, rel=0.1)


def test_tokens_come_slower_in_company() -> None:
    record = TrackRecord()
    for beside in (0, 4, 8, 2, 6, 0, 8):
        record.saw(sighting(decode_s=0.02 + 0.005 * beside, beside=beside))
    pace = record.pace(1000, 50)
    assert pace.crowd_s == pytest.approx(0.005, rel=0.2)
    assert pace.decode_s == pytest.approx(0.02, rel=0.35)


def test_failures_lower_reliability_and_answers_mend_it() -> None:
    record = TrackRecord()
    best = record.pace(0, 0).reliability
    for _ in range(5):
        record.failed(50.0)
    worst = record.pace(0, 0).reliability
    assert worst < 0.8 < best
    assert record.wavered_s == 50.0
    for _ in range(20):
        record.saw(sighting())
    assert record.pace(0, 0).reliability > 0.9


def test_whoever_was_outrun_is_expected_to_be_late_for_a_while() -> None:
    record = TrackRecord()
    record.outrun(6.0, 1.0, 100.0)
    assert record.delay(100.0) == pytest.approx(5.0)
    record.outrun(1.5, 1.0, 101.0)
    assert 4.0 < record.delay(101.0) < 5.0  # a smaller lateness takes nothing back
    assert record.delay(200.0) < 0.01


def test_lateness_is_known_once_enough_first_tokens_were_seen() -> None:
    record = TrackRecord()
    for number in range(LATENESS_LEAST - 1):
        record.saw(sighting(expected_first_s=1.0))
        assert record.pace(0, 0).late_share == math.inf, number
    record.saw(sighting(expected_first_s=0.25))
    assert record.pace(0, 0).late_share == pytest.approx(4.0)


def test_round_trips_are_averaged() -> None:
    record = TrackRecord()
    record.went(0.1)
    record.went(0.05)
    assert 0.05 < record.pace(0, 0).round_trip_s < 0.1


def test_nobody_is_believed_to_be_many_times_faster_than_the_fastest_measured() -> None:
    records = Records()
    honest = records.of("honest", CARD.digest)
    honest.saw(sighting())
    records.measured(CARD.digest, honest)
    liar = records.pace("liar", replace(CARD, decode_tps=5000, prefill_tps=100_000))
    assert liar.decode_s == pytest.approx(1 / 100, rel=0.1)
    assert liar.prefill_s == pytest.approx(1 / 2000, rel=0.1)


def test_records_are_bounded_and_the_longest_unused_is_forgotten() -> None:
    records = Records()
    records.of("first", CARD.digest).failed(1.0)
    for number in range(MAX_RECORDS):
        records.of(str(number), CARD.digest)
    assert records.wavered_s("first", CARD.digest) == -math.inf


def test_the_wait_that_a_peer_names_is_expected_until_it_is_over() -> None:
    record = TrackRecord()
    record.told(4.0, at_s=10.0)
    assert [record.delay(now) for now in (10.0, 13.0, 14.0, 60.0)] == [4.0, 1.0, 0.0, 0.0]
    record.told(0.0, at_s=11.0)
    assert record.delay(11.0) == 0.0
    record.outrun(9.0, 1.0, 12.0)
    record.told(0.0, at_s=12.0)
    assert record.delay(12.0) == 8.0  # a word is no excuse for what was seen
