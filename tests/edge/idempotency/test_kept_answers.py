"""How long answers are kept, and how many."""

from __future__ import annotations

from peernode.edge.idempotency import kept_answers
from peernode.edge.idempotency.kept_answers import KEPT_S, KeptAnswers


def keep(kept, owner, key, *, size=10, at=0.0, status=200):
    answer = kept.begin((owner, key), b"", "req_1")
    answer.begin(status, [])
    answer.add(b"x" * size)
    kept.end(answer, at)


async def test_an_answer_is_kept_for_a_while_after_its_end():
    kept = KeptAnswers()
    keep(kept, "a", "1", at=5.0)
    assert kept.find(("a", "1"), 5.0 + KEPT_S) is not None
    assert kept.find(("a", "1"), 5.1 + KEPT_S) is None
    assert len(kept) == 0


async def test_one_that_runs_is_never_forgotten_and_one_that_failed_is_at_once():
    kept = KeptAnswers()
    running = kept.begin(("a", "1"), b"", "req_1")
    assert kept.find(("a", "1"), 10 * KEPT_S) is running
    keep(kept, "a", "2", status=500)
    assert kept.find(("a", "2"), 0.0) is None


async def test_whoever_keeps_most_loses_his_oldest_first(monkeypatch):
    monkeypatch.setattr(kept_answers, "MAX_BYTES", 20_000)
    kept = KeptAnswers()
    keep(kept, "small", "1")
    for number in range(50):
        keep(kept, "large", str(number), size=5_000)
    assert kept.find(("small", "1"), 0.0) is not None
    assert [number for number in range(50) if kept.find(("large", str(number)), 0.0)] == [47, 48, 49]


async def test_small_ones_are_counted_too(monkeypatch):
    monkeypatch.setattr(kept_answers, "MAX_ANSWERS", 10)
    kept = KeptAnswers()
    for number in range(100):
        keep(kept, "a", str(number), size=0)
    assert len(kept) == 10
