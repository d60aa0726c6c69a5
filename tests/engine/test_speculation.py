"""Drafts and forced tokens change when a token comes, never which one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.engine.worker.drafting import RESUMED, NgramDrafter
from peernode.engine.worker.pacing import Pace
from peernode.engine.worker.row_costs import RowCosts
from peernode.engine.worker.speculation import Speculation, Speculator, worthwhile
from tests.engine.scripted import run_out
from tests.engine.test_prefix_sharing import SHELF, CellBackend, asking, batcher_on, following

FORBIDDEN = 7
FORCED = {3: [4, 5, 6], 11: [11] * 40}


def repeating(tokens: list[int]) -> int:
    """Round in circles of five, with a slip now and then."""
    return 12 if len(tokens) % 19 == 0 else tokens[-1] % 5 + 1


class Rails:
    """Forbids one token, and forces what follows some others."""

    def __init__(self) -> None:
        self._due: list[int] = []

    def mask(self, logits: np.ndarray) -> np.ndarray:
        masked = logits.copy()
        masked[FORBIDDEN] = -np.inf
        return masked

    def accept(self, token: int) -> None:
        assert token != FORBIDDEN
        if self._due:
            assert token == self._due.pop(0)
        else:
            self._due = list(FORCED.get(token, ()))

    def forced(self) -> list[int]:
        return list(self._due)

    def allowed(self, draft: Sequence[int]) -> int:
        return draft.index(FORBIDDEN) if FORBIDDEN in draft else len(draft)


def one_by_one(prompt: list[int], limit: int, follow: Callable[[list[int]], int], *, railed: bool) -> list[int]:
    tokens = list(prompt)
    due: list[int] = []
    while len(tokens) - len(prompt) < limit:
        if due:
            tokens.append(due.pop(0))
            continue
        token = follow(tokens)
        if railed:
            token = 0 if token == FORBIDDEN else token
            due = list(FORCED.get(token, ()))
        tokens.append(token)
    return tokens[len(prompt) :]


@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 12), min_size=2, max_size=40), st.integers(1, 60), st.booleans()),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([following, repeating]),
    st.frozensets(st.integers(1, 30), max_size=3),
)
def test_every_token_is_the_one_that_would_have_come_anyway(
    jobs: list[tuple[list[int], int, bool]], follow: Callable[[list[int]], int], full_at: frozenset[int]
) -> None:
    backend = CellBackend(follow=follow, full_at=full_at)
    batcher = batcher_on(backend, slots=4, speculate=True)
    for job, (prompt, limit, railed) in enumerate(jobs):
        sequence = asking(job, prompt, limit=limit)
        sequence.constraint = Rails() if railed else None
        assert batcher.submit(sequence)
    said: dict[int, list[int]] = {}
    for output in run_out(batcher):
        said.setdefault(output.job, []).extend(output.ids)
        if output.end:
            # Token 0, which the mask may leave as the first of equals, ends an answer.
            assert output.end in {"length", "stop"} or full_at
            if output.end == "error":
                del said[output.job]
    for job, (prompt, limit, railed) in enumerate(jobs):
        if job in said:
            wanted = one_by_one(prompt, limit, follow, railed=railed)
            assert said[job] == wanted[: wanted.index(0)] if 0 in wanted else wanted
    assert len(backend.cells) == batcher._residents.used
    assert batcher._residents.pinned == 0


def test_a_repetitive_answer_takes_fewer_steps() -> None:
    def steps(speculate: bool) -> tuple[int, int]:
        backend = CellBackend(follow=repeating)
        batcher = batcher_on(backend, speculate=speculate)
        batcher.submit(asking(1, [1, 2, 3, 4, 5] * 8, limit=100))
        run_out(batcher)
        return batcher.steps, batcher._speculation.accepted

    plain, _ = steps(False)
    fast, accepted = steps(True)
    assert plain == 100
    assert fast + accepted == plain
    assert fast < 70


def test_forced_tokens_come_at_once_and_long_runs_are_computed_in_pieces() -> None:
    backend = CellBackend(follow=lambda _: 11)
    batcher = batcher_on(backend)
    sequence = asking(1, [1, 2], limit=100)
    sequence.constraint = Rails()
    batcher.submit(sequence)
    (first, *others) = run_out(batcher)
    assert first.ids == [11] * 41
    assert [len(output.ids) for output in others] == [41, 18]
    assert max(sum(chunk.size for chunk in batch) for batch in backend.batches) <= 64


def test_the_longest_agreement_is_believed() -> None:
    drafter = NgramDrafter([1, 2, 3, 4, 5, 6, 7, 8, 9, 4, 5, 6, 2, 2, 1, 2, 3, 4, 5, 6])
    assert drafter.propose(3) == ([7, 8, 9], 6)
    drafter.extend([2])
    assert drafter.propose(2) == ([2, 1], 4)
    drafter.extend([9])
    assert drafter.propose(2) == ([], 0)


@pytest.mark.parametrize(
    ("changed", "goes_on"),
    [([90], 12), ([90, 91, 92], 12), ([], 12), ([90, 91, 92, 93, 94, 95, 96, 97, 98], 12)],
    ids=["one word for another", "three words for one", "a word left out", "too long a change"],
)
def test_a_copy_goes_on_behind_a_changed_word(changed: list[int], goes_on: int) -> None:
    drafter = NgramDrafter([*range(1, 30), 50, 51])
    for token in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]:  # a copy, one token a step
        drafter.propose(4)
        drafter.extend([token])
    for token in [*changed, goes_on]:  # 11 is what was changed
        drafter.propose(4)
        drafter.extend([token])
    resumed = [13, 14, 15, 16] if len(changed) < 8 else []
    assert drafter.propose(4) == (resumed, RESUMED if resumed else 0)
    drafter.extend([13])
    assert drafter.propose(2) == ([14, 15] if resumed else [], 2 if resumed else 0)


def test_a_loop_is_taken_to_go_on_and_long_agreement_is_told() -> None:
    drafter = NgramDrafter([7, *[1, 2, 3, 4] * 5])
    assert drafter.propose(6) == ([1, 2, 3, 4, 1, 2], 16)
    drafter.extend([1, 2, 3, 4] * 3)
    assert drafter.propose(1) == ([1], 24)


@pytest.mark.parametrize(
    ("luck", "row", "counts"),
    [(0.0, 0.1, 0), (0.3, 0.4, 0), (0.8, 0.4, 2), (0.99, 0.1, 30), (0.99, 1.0, 0), (0.95, 0.4, 6)],
)
def test_drafts_are_made_while_they_pay(luck: float, row: float, counts: int) -> None:
    chances = [luck**at for at in range(1, 31)]
    assert worthwhile([chances], lambda drafts: 1 + row * drafts, sure=1) == [counts]


def test_rows_go_to_whoever_makes_most_of_them() -> None:
    sure, unsure = [0.95**at for at in range(1, 10)], [0.6**at for at in range(1, 10)]
    counts = worthwhile([unsure, sure, []], lambda drafts: 1 + 0.1 * drafts, sure=3)
    assert counts[1] > counts[0]
    assert counts[2] == 0
    # What one gains must not cost the others more.
    assert worthwhile([unsure], lambda drafts: 1 + 0.3 * drafts, sure=1) != [0]
    assert worthwhile([unsure, [], [], []], lambda drafts: 1 + 0.3 * drafts, sure=4) == [0, 0, 0, 0]


def test_no_step_takes_too_long_for_its_drafts() -> None:
    certain = [1.0] * 40
    assert worthwhile([certain], lambda drafts: 1.0 if drafts <= 12 else None, sure=1) == [12]


def test_luck_is_learned_without_a_draft() -> None:
    sequence = asking(1, [1, 2, 3, 4, 5, 6, 7, 8] * 4, limit=100)
    speculator = Speculator(sequence)

    def chance_after(tokens: list[int]) -> float:
        for token in tokens:
            sequence.said.append(token)
            chance = speculator.look(1)
        return chance[0] if chance else 0.0

    first = chance_after([1])
    assert chance_after([2, 3, 4, 5, 6, 7, 8] + [1, 2, 3, 4, 5, 6, 7, 8] * 3 + [1]) > first
    # Whenever 5 comes, something new follows: other guesses are still believed, that one is not.
    for stranger in (9, 10, 11, 12):
        chance_after([2, 3, 4, 5, stranger, 6, 7, 8, 1])
    assert chance_after([2, 3, 4]) > 0.6
    assert chance_after([5]) < 0.5


@given(st.integers(1, 8), st.integers(0, 48), st.lists(st.floats(0.001, 1.0), min_size=1, max_size=30))
def test_drafts_keep_to_the_room(sequences: int, room: int, seconds: list[float]) -> None:
    pace = Pace()
    for at, taken in enumerate(seconds):
        pace.observe(decoded=at % 13 + 1, prefilled=0, seconds=taken)
    running = [asking(job, [1, 2, 3] * 9, limit=40) for job in range(sequences)]
    speculation = Speculation(pace, enabled=True)
    for sequence in running:
        sequence.said = sequence.pending = [1]
        sequence.in_memory = len(sequence.prompt)
    speculation.propose(running, room=room)
    assert sum(len(sequence.drafts) for sequence in running) <= room


def test_row_costs_are_measured_between_and_hopeful_beyond() -> None:
    costs = RowCosts()
    assert costs.seconds(3) == 0.0
    for _ in range(3):
        costs.observe(2, 0.010)
    assert costs.seconds(2) == pytest.approx(0.010)
    assert costs.seconds(1) < 0.010 < costs.seconds(8) < 0.040
    for _ in range(3):
        costs.observe(8, 0.070)
    assert costs.seconds(5) == pytest.approx(0.040)
    # A GPU takes hardly longer for sixteen rows than for two.
    quick = RowCosts()
    for rows in (2, 16):
        for _ in range(3):
            quick.observe(rows, 0.010)
    assert quick.seconds(32) == pytest.approx(0.010)


def test_one_step_that_was_held_up_makes_no_price_and_old_prices_are_forgotten() -> None:
    costs = RowCosts()
    for _ in range(3):
        costs.observe(1, 0.010)
    hoped = costs.seconds(12)
    costs.observe(12, 5.0)
    assert costs.seconds(12) == hoped
    costs.observe(12, 5.0)
    costs.observe(12, 5.0)
    assert costs.seconds(12) == pytest.approx(5.0)
    for _ in range(4000):
        costs.observe(1, 0.010)
    assert costs.seconds(12) == pytest.approx(hoped)


class PlacedBackend(CellBackend):
    """Fills holes first, as llama.cpp does, and tells whether the cells of each sequence lie in their order."""

    def __init__(self, follow: Callable[[list[int]], int]) -> None:
        super().__init__(follow=follow)
        self.places: dict[int, int] = {}
        self.held: list[object] = []  # so that no new cell gets the identity of one that is gone
        self.in_order = True

    def decode(self) -> int:
        before = len(self.cells)
        failure = super().decode()
        self.held += [holders for _, _, holders in self.cells[before:]]
        live = {id(holders) for _, _, holders in self.cells}
        self.places = {cell: place for cell, place in self.places.items() if cell in live}
        free = (place for place in itertools.count() if place not in set(self.places.values()))
        for _, _, holders in self.cells[before:]:
            self.places[id(holders)] = next(free)
        for slot in {chunk.slot for chunk in self._current}:
            mine = sorted(
                (position, self.places[id(holders)]) for position, _, holders in self.cells if slot in holders
            )
            self.in_order &= mine == sorted(mine, key=lambda cell: cell[1])
        return failure


@pytest.mark.parametrize("kernel_rows", [60, 0])
def test_wrong_drafts_leave_no_holes_where_the_order_of_cells_decides(kernel_rows: int) -> None:
    backend = PlacedBackend(repeating)
    backend.kernel_rows = kernel_rows
    batcher = batcher_on(backend, slots=4, speculate=True)
    for job in range(4):
        batcher.submit(asking(job, [job + 6, *[1, 2, 3, 4, 5] * (job + 2)], limit=24))  # all fits, wrong drafts too
    run_out(batcher)
    assert batcher._speculation.accepted
    assert batcher._speculation.drafted > batcher._speculation.accepted
    assert backend.in_order == bool(kernel_rows)
    assert batcher._residents.pinned == 0
    batcher.submit(asking(9, [9, 9], limit=1))
    assert SHELF not in set().union(*(holders for _, _, holders in backend.cells))
