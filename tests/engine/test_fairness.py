"""A flood from one payer does not slow another, and background jobs make way without losing what they said."""

from __future__ import annotations

from peernode.engine.worker.batcher import Batcher
from peernode.engine.worker.fairness import MOST_ACCOUNTS, Shares
from tests.engine.scripted import FreePace, outputs, run_out
from tests.engine.test_prefix_sharing import KV, CellBackend, asking, batcher_on, expected


def first_words(batcher: Batcher) -> list[int]:
    """Jobs in the order of their first tokens."""
    seen: dict[int, None] = {}
    for output in run_out(batcher):
        if output.ids:
            seen[output.job] = None
    return list(seen)


def test_a_payer_beside_a_flood_waits_for_one_turn_only() -> None:
    batcher = batcher_on(CellBackend(), slots=2)
    for job in range(20):
        assert batcher.submit(asking(job, [1 + job % 5] * 10, payer="flood"))
    for _ in range(3):
        batcher.step()
    assert batcher.submit(asking(100, [7] * 10, payer="bob"))
    assert batcher.submit(asking(101, [8] * 10, payer="bob"))
    order = first_words(batcher)
    # Two run already. Then comes bob, and from there on they take turns.
    assert order.index(100) <= 2
    assert order.index(101) <= 5


def test_payers_with_jobs_of_different_size_get_the_same_number_of_tokens() -> None:
    batcher = batcher_on(CellBackend(), slots=1)
    for job in range(12):
        batcher.submit(asking(job, [1 + job % 7] * 10, limit=10, payer="small"))
        batcher.submit(asking(100 + job, [2 + job % 7] * 30, limit=10, payer="large"))
    order = first_words(batcher)[2:14]
    small = sum(job < 100 for job in order)
    assert 7 <= small <= 9  # two small ones for each large one


def test_long_prompts_of_two_payers_are_computed_side_by_side() -> None:
    class Slow(FreePace):
        def prefill_budget(self, *, decoding: bool) -> int:
            return 64

    backend = CellBackend()
    batcher = batcher_on(backend, slots=2)
    batcher._pace = Slow()
    batcher.submit(asking(1, [1, 2] * 70, payer="ann"))
    batcher.submit(asking(2, [3] * 20, payer="bob"))
    batcher.step()
    batcher.step()
    assert {chunk.slot for chunk in backend.batches[1]} == {0, 1}


def test_a_background_job_makes_way_and_goes_on_later() -> None:
    backend = CellBackend()
    batcher = batcher_on(backend, slots=1)
    late = asking(1, [1, 2, 3] * 8, limit=30)
    late.background = True
    batcher.submit(late)
    said = []
    for _ in range(5):
        batcher.step()
        said += outputs(batcher)
    assert len(said) == 5
    batcher.submit(asking(2, [4, 5, 6], limit=5))
    said += run_out(batcher)
    ends = [output.job for output in said if output.end]
    assert ends == [2, 1]
    answer = [token for output in said if output.job == 1 for token in output.ids]
    assert answer == expected([1, 2, 3] * 8, 30)
    # What it had computed was still there, but for the last two rows.
    assert sum(chunk.size for batch in backend.batches for chunk in batch) <= 24 + 30 + 3 + 5 + 3


def test_nobody_is_put_back_in_vain() -> None:
    batcher = batcher_on(CellBackend(), slots=3)
    late = asking(1, [1] * 20, limit=20)
    late.background = True
    batcher.submit(late)
    batcher.submit(asking(2, [2] * 150, limit=50))
    batcher.submit(asking(3, [3] * (KV - 150), limit=20))  # does not fit even without the background job
    batcher.step()
    assert [sequence.job for sequence in batcher._running.values()] == [1, 2]
    assert [output.job for output in run_out(batcher) if output.end] == [1, 2, 3]


def test_background_jobs_wait_behind_all_others() -> None:
    batcher = batcher_on(CellBackend(), slots=1)
    batcher.submit(asking(0, [9] * 5))
    for job in (1, 2):
        late = asking(job, [job] * 5, payer="ann")
        late.background = True
        batcher.submit(late)
    batcher.submit(asking(3, [3] * 5, payer="bob"))
    assert first_words(batcher) == [0, 3, 1, 2]


def test_payers_who_come_once_leave_no_accounts_for_ever() -> None:
    shares = Shares()
    shares.charge("greedy", 1_000_000)
    for stranger in range(3 * MOST_ACCOUNTS):
        shares.charge(f"stranger {stranger}", 10 + stranger % 7)
        assert len(shares) <= MOST_ACCOUNTS
    assert shares.next(["greedy", "new", "stranger 0"]) == "new"  # who had most is still the last
    shares.charge("new", 500)
    assert shares.next(["greedy", "new"]) == "new"
