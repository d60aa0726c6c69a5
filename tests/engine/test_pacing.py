"""Long prompts are cut to what a step can bear, and restarts wait longer each time."""

from __future__ import annotations

import itertools
import random

from peernode.engine.backoff import FIRST_S, LONGEST_S, STABLE_S, Backoff
from peernode.engine.worker.pacing import Pace


def test_the_prompt_budget_follows_the_measured_cost() -> None:
    pace = Pace(target_s=0.25)
    first = pace.prefill_budget(decoding=False)
    for _ in range(50):
        pace.observe(decoded=0, prefilled=100, seconds=0.1)
    assert first == 64
    assert 200 <= pace.prefill_budget(decoding=False) <= 250
    assert round(pace.prefill_tps) == 1000


def test_those_who_stream_leave_less_room_for_prompts_but_never_none() -> None:
    pace = Pace(target_s=0.25)
    pace.observe(decoded=0, prefilled=100, seconds=0.1)
    pace.observe(decoded=8, prefilled=0, seconds=0.2)
    assert 4 <= pace.prefill_budget(decoding=True) <= 50 < pace.prefill_budget(decoding=False)
    pace.observe(decoded=8, prefilled=0, seconds=9.0)
    assert pace.prefill_budget(decoding=True) == 4


def test_small_pieces_of_a_prompt_that_gets_dearer_are_followed() -> None:
    pace = Pace(target_s=0.15)
    pace.observe(decoded=4, prefilled=0, seconds=0.03)
    pace.observe(decoded=0, prefilled=64, seconds=0.2)
    cost_s = 0.003
    for _ in range(300):
        size = pace.prefill_budget(decoding=True)
        cost_s *= 1.005
        pace.observe(decoded=4, prefilled=size, seconds=0.03 + size * cost_s)
        assert 0.03 + size * cost_s <= 0.15 * 1.2


def test_decode_rate_is_that_of_one_sequence() -> None:
    pace = Pace()
    assert pace.decode_tps == 0.0
    pace.observe(decoded=8, prefilled=0, seconds=0.02)
    assert round(pace.decode_tps) == 50


def test_a_worker_that_keeps_dying_is_restarted_ever_more_slowly() -> None:
    backoff = Backoff(random.Random(1))
    delays = [backoff.delay_after(0.0) for _ in range(12)]
    assert 0.8 * FIRST_S <= delays[0] <= FIRST_S
    assert all(later > earlier for earlier, later in itertools.pairwise(delays[:8]))
    assert 0.8 * LONGEST_S <= delays[-1] <= LONGEST_S


def test_a_stable_run_is_forgiven() -> None:
    backoff = Backoff(random.Random(1))
    for _ in range(8):
        backoff.delay_after(0.0)
    assert backoff.delay_after(STABLE_S) <= FIRST_S
