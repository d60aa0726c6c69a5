"""What is resident is not computed again, what another computes is waited for, and every cell is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peernode.engine.worker.answer import Answer
from peernode.engine.worker.batcher import Batcher
from peernode.engine.worker.prefix_store import PrefixStore
from peernode.engine.worker.sampler import Sampler, SamplerParameters
from peernode.engine.worker.sequence import Sequence
from tests.engine.scripted import END, VOCABULARY, Chunk, FreePace, ScriptedBackend, run_out

SHELF = -1
KV = 300
BLOCK = 8


def following(tokens: list[int]) -> int:
    return 1 + sum(at * token for at, token in enumerate(tokens, 1)) % (VOCABULARY - 1)


@dataclass
class CellBackend(ScriptedBackend):
    """Keeps real cells: each is a set of sequences at one position with one token. The next token follows from them."""

    sequences: int = 6
    kernel_rows: int = 60
    cells: list[tuple[int, int, set[int]]] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)
    full_at: frozenset[int] = frozenset()
    follow: Callable[[list[int]], int] = following
    saved: int = 0

    def begin(self) -> None:
        super().begin()
        self._tokens: list[np.ndarray] = []
        self._outputs: list[int] = []

    def add(self, tokens: np.ndarray, position: int, slot: int, *, outputs: int) -> None:
        super().add(tokens, position, slot, outputs=outputs)
        self._tokens.append(tokens.copy())
        self._outputs.append(outputs)

    def decode(self) -> int:
        self.batches.append(self._current)
        if len(self.batches) in self.full_at:
            return 1
        for chunk, tokens in zip(self._current, self._tokens, strict=True):
            for at, token in enumerate(tokens):
                self.cells.append((chunk.position + at, int(token), {chunk.slot}))
        assert len(self.cells) <= KV
        self.rows = []
        for chunk, outputs in zip(self._current, self._outputs, strict=True):
            end = chunk.position + chunk.size
            resident = self.resident(chunk.slot)
            assert len(resident) == end
            self.rows += [resident[: end - after] for after in reversed(range(outputs))]
        return 0

    def logits(self, row: int) -> np.ndarray:
        logits = np.zeros(VOCABULARY, np.float32)
        logits[self.follow(self.rows[row])] = 9.0
        return logits

    def resident(self, slot: int) -> list[int]:
        cells = sorted((position, token) for position, token, holders in self.cells if slot in holders)
        assert [position for position, _ in cells] == list(range(len(cells)))
        return [token for _, token in cells]

    def forget(self, slot: int) -> None:
        super().forget(slot)
        self._remove(slot, 0, 1 << 30)

    def cut(self, slot: int, position: int) -> None:
        self._remove(slot, position, 1 << 30)

    def shelve(self, slot: int, position: int) -> None:
        for at, _, holders in self.cells:
            if slot in holders and at >= position:
                holders.add(SHELF)
        self.cut(slot, position)

    def clear_shelf(self) -> None:
        self._remove(SHELF, 0, 1 << 30)

    def adopt(self, slot: int, source: int, begin: int, end: int) -> None:
        self._remove(slot, begin, end)
        for position, _, holders in self.cells:
            if begin <= position < end and source in holders:
                holders.add(slot)

    def save(self, slot: int, begin: int, end: int) -> np.ndarray | None:
        self.saved += end - begin
        return np.array(self.resident(slot)[begin:end], np.int32).view(np.uint8)

    def restore(self, slot: int, begin: int, end: int, data: np.ndarray) -> bool:
        tokens = data.view(np.int32).tolist()
        assert len(self.cells) + len(tokens) <= KV
        held = self.resident(slot)
        assert len(held) == begin
        first = (begin // BLOCK) * BLOCK
        self.cells += [(at, tokens[at - first], {slot}) for at in range(begin, end)]
        return True

    def _remove(self, slot: int, begin: int, end: int) -> None:
        for position, _, holders in self.cells:
            if begin <= position < end:
                holders.discard(slot)
        self.cells = [cell for cell in self.cells if cell[2]]


def batcher_on(
    backend: CellBackend,
    *,
    slots: int = 3,
    speculate: bool = False,
    store: PrefixStore | None = None,
    idle_cells: int | None = None,
) -> Batcher:
    return Batcher(
        backend,
        slots=slots,
        kv_tokens=KV,
        batch_tokens=64,
        queue_limit=99,
        clock=lambda: 0.0,
        pace=FreePace(),
        speculate=speculate,
        store=store,
        idle_cells=idle_cells,
    )


def asking(job: int, prompt: list[int], *, limit: int = 4, payer: str = "") -> Sequence:
    pieces = [b""] + [bytes([96 + at]) for at in range(1, VOCABULARY)]
    answer = Answer(pieces, frozenset({END}), stops=(), limit=limit)
    sampler = Sampler(SamplerParameters(0.0, 1.0, 0))
    return Sequence(job, np.array(prompt, np.int32), answer, sampler, payer=payer, salt=payer)


def expected(prompt: list[int], limit: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(limit):
        tokens.append(following(tokens))
    return tokens[len(prompt) :]


def computed(backend: CellBackend) -> int:
    return sum(chunk.size for batch in backend.batches for chunk in batch if chunk.size > 1)


SHARED = [at % 7 + 1 for at in range(40)]


def test_requests_that_come_together_compute_their_prefix_once() -> None:
    backend = CellBackend()
    batcher = batcher_on(backend)
    for job in range(3):
        batcher.submit(asking(job, [*SHARED, 8 + job, 9, 9]))
    ends = {output.job: output.cached_tokens for output in run_out(batcher) if output.end}
    assert ends == {0: 0, 1: 40, 2: 40}
    assert computed(backend) == 43 + 3 + 3


def test_the_next_request_reuses_what_a_finished_one_left_and_a_stranger_does_not() -> None:
    backend = CellBackend()
    batcher = batcher_on(backend)
    for job, payer in enumerate(["ann", "ann", "bob"]):
        batcher.submit(asking(job, SHARED, payer=payer))
        (end,) = [output for output in run_out(batcher) if output.end]
        assert end.cached_tokens == (38 if job == 1 else 0)


def test_a_full_memory_evicts_what_is_cached_and_then_preempts_the_youngest() -> None:
    backend = CellBackend(full_at=frozenset({3, 4}))
    batcher = batcher_on(backend)
    prompts = {1: [*SHARED, 1], 2: [2, *SHARED]}
    for job, prompt in prompts.items():
        batcher.submit(asking(job, prompt, limit=6))
    said: dict[int, list[int]] = {1: [], 2: []}
    for output in run_out(batcher):
        said[output.job] += output.ids
        assert output.end in {"", "length"}
    assert said == {job: expected(prompt, 6) for job, prompt in prompts.items()}


def test_a_failing_sequence_is_found_and_its_neighbours_go_on() -> None:
    class Poisoned(CellBackend):
        def decode(self) -> int:
            if any(13 in tokens for tokens in self._tokens):
                self.batches.append([Chunk(0, 0, 0, False)])
                return -3
            return super().decode()

    backend = Poisoned()
    batcher = batcher_on(backend)
    prompts = {1: [*SHARED, 2], 2: [*SHARED, 13], 3: [3, 4, 5]}
    for job, prompt in prompts.items():
        batcher.submit(asking(job, prompt, limit=1))
    ends = {output.job: (output.end, output.cause) for output in run_out(batcher) if output.end}
    assert ends == {1: ("length", ""), 2: ("error", "llama_decode returned -3"), 3: ("length", "")}


def test_what_lies_idle_goes_to_the_host_and_comes_back() -> None:
    backend = CellBackend()
    store = PrefixStore(1 << 20, block_tokens=BLOCK)
    batcher = batcher_on(backend, store=store, idle_cells=0)
    prompt = [*SHARED, 3]
    first = asking(1, prompt, payer="ann")
    batcher.submit(first)
    run_out(batcher)
    moved = 0
    while batcher.tidy():
        moved += 1
    assert moved > len(SHARED) // BLOCK
    assert backend.cells == []
    assert store.tokens == backend.saved == len(prompt) + 3
    for job, payer, cached in ((2, "bob", 0), (3, "ann", len(prompt) - 2)):
        batcher.submit(asking(job, prompt, payer=payer))
        said = run_out(batcher)
        assert [token for output in said for token in output.ids] == expected(prompt, 4)
        assert said[-1].cached_tokens == cached


def test_a_host_without_room_for_prefixes_leaves_them_where_they_are() -> None:
    backend = CellBackend()
    batcher = batcher_on(backend, store=PrefixStore(0), idle_cells=0)
    batcher.submit(asking(1, SHARED))
    run_out(batcher)
    assert not batcher.tidy()
    assert (len(backend.cells), backend.saved) == (len(SHARED) + 3, 0)


REQUESTS = st.lists(
    st.tuples(
        st.integers(0, 45),
        st.lists(st.integers(1, 12), min_size=1, max_size=30),
        st.integers(1, 12),
        st.sampled_from(["", "ann", "bob"]),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=14,
)


@given(REQUESTS, st.frozensets(st.integers(1, 30), max_size=3), st.sampled_from([0, 10_000, 1 << 20]))
def test_whatever_comes_answers_are_right_and_cells_return(requests: list, full_at: frozenset[int], kept: int) -> None:
    backend = CellBackend(full_at=full_at)
    store = PrefixStore(kept, block_tokens=BLOCK)
    batcher = batcher_on(backend, store=store, idle_cells=16 if kept else None)
    said: dict[int, list[int]] = {}
    reason: dict[int, str] = {}

    def look() -> None:
        report = batcher.report()
        if report is None:
            return
        assert report.kv_used + report.kv_cached >= len(backend.cells)
        assert report.kv_used <= KV
        for output in report.outputs:
            said.setdefault(output.job, []).extend(output.ids)
            assert output.job not in reason
            if output.end:
                reason[output.job] = output.end

    wanted = {}
    for job, (shared, tail, limit, payer, pause) in enumerate(requests):
        prompt = SHARED[:shared] + tail
        wanted[job] = expected(prompt, limit)
        assert batcher.submit(asking(job, prompt, limit=limit, payer=payer))
        if pause > 7:
            batcher.cancel(job - 1)
        for _ in range(pause % 4):
            batcher.step()
            look()
    while batcher.busy:
        batcher.step()
        look()
    look()
    assert set(reason) == set(wanted)
    for job, ids in wanted.items():
        if reason[job] == "length":
            assert said.get(job, []) == ids
        else:
            assert reason[job] in {"cancelled", "error"}
            assert ids[: len(said.get(job, []))] == said.get(job, [])
    assert len(backend.cells) == batcher._residents.used
    assert batcher._residents.pinned == 0
