"""Prompts with images through the batcher over a memory that keeps cells: what is whole is shared, nothing is mixed up,
and every cell is accounted for, whatever is cancelled, preempted or full."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from peernode.engine.worker.answer import Answer
from peernode.engine.worker.batcher import Batcher
from peernode.engine.worker.drafting import NgramDrafter
from peernode.engine.worker.sampler import Sampler, SamplerParameters
from peernode.engine.worker.sequence import Sequence
from peernode.engine.worker.vision.prompt import assemble
from peernode.engine.worker.vision.spans import ImageRun, placeholder_ids
from tests.engine.scripted import END, VOCABULARY, FreePace, ScriptedBackend, run_out

KV = 240
# cells, columns of an M-RoPE grid or 0, causal
SHAPES = {"strip": (7, 0, True), "whole": (9, 0, False), "grid": (12, 4, True), "odd": (61, 0, True)}


@dataclass
class Cell:
    position: int
    content: int
    holders: set[int]
    place: tuple[int, ...]


@dataclass
class ImageBackend(ScriptedBackend):
    """Keeps cells with what is in them; the next token follows from all that a sequence holds, in order."""

    sequences: int = 6
    kernel_rows: int = 60
    grid: bool = False
    full_at: frozenset[int] = frozenset()
    cells: list[Cell] = field(default_factory=list)
    calls: int = 0
    images: list[int] = field(default_factory=list)
    lone_rows: int = 0

    def begin(self) -> None:
        super().begin()
        self._tokens: list[np.ndarray] = []
        self._outputs: list[int] = []

    def add(self, tokens: np.ndarray, position: int, slot: int, *, outputs: int) -> None:
        super().add(tokens, position, slot, outputs=outputs)
        assert (tokens >= 0).all()
        self._tokens.append(tokens.copy())
        self._outputs.append(outputs)

    def decode(self) -> int:
        self.calls += 1
        if self.calls in self.full_at:
            return 1
        self.batches.append(self._current)
        for chunk, tokens in zip(self._current, self._tokens, strict=True):
            for at, token in enumerate(tokens):
                self._put(chunk.slot, chunk.position + at, int(token), ())
        self.rows = []
        for chunk, outputs in zip(self._current, self._outputs, strict=True):
            held = self.resident(chunk.slot)
            self.rows += [held[: len(held) - after] for after in reversed(range(outputs))]
        return 0

    def decode_embeddings(self, embeddings: np.ndarray, positions: np.ndarray, slot: int, *, causal: bool) -> int:
        self.calls += 1
        if self.calls in self.full_at:
            return 1
        count = len(embeddings)
        self.images.append(count)
        self.lone_rows += causal and count > 3 and count % self.kernel_rows == 1
        places = positions.reshape(-1, count).T
        assert places.shape[1] == (4 if self.grid else 1)
        for row, place in zip(embeddings, places, strict=True):
            self._put(slot, int(place[0]), int(row[0]), tuple(int(at) for at in place))
        return 0

    def _put(self, slot: int, position: int, content: int, place: tuple[int, ...]) -> None:
        latest = max((cell.position for cell in self.cells if slot in cell.holders), default=-1)
        if not self.grid:
            assert position == latest + 1
        else:
            assert position >= latest if place else position > latest
        self.cells.append(Cell(position, content, {slot}, place))
        assert len(self.cells) <= KV

    def resident(self, slot: int) -> list[tuple[int, ...]]:
        held = [cell for cell in self.cells if slot in cell.holders]
        return sorted((cell.position, *cell.place[1:3], cell.content) for cell in held)

    def logits(self, row: int) -> np.ndarray:
        logits = np.zeros(VOCABULARY, np.float32)
        logits[following(self.rows[row])] = 9.0
        return logits

    def forget(self, slot: int) -> None:
        super().forget(slot)
        self._remove(slot, 0, 1 << 30)

    def cut(self, slot: int, position: int) -> None:
        self._remove(slot, position, 1 << 30)

    def adopt(self, slot: int, source: int, begin: int, end: int) -> None:
        self._remove(slot, begin, end)
        for cell in self.cells:
            if begin <= cell.position < end and source in cell.holders:
                cell.holders.add(slot)

    def _remove(self, slot: int, begin: int, end: int) -> None:
        for cell in self.cells:
            if begin <= cell.position < end:
                cell.holders.discard(slot)
        self.cells = [cell for cell in self.cells if cell.holders]


def following(held: list[tuple[int, ...]]) -> int:
    return 1 + hash(tuple(held)) % (VOCABULARY - 1)


def image(name: str, key: int) -> ImageRun:
    cells, columns, causal = SHAPES[name]
    at = np.arange(cells, dtype=np.int32)
    contents = 1000 * key + at
    grid = np.stack([at * 0, at // columns, at % columns, at * 0]) if columns else None
    embeddings = np.repeat(contents[:, None], 2, axis=1).astype(np.float32)
    ids = placeholder_ids(f"{name} {key}".encode(), cells)
    return ImageRun(embeddings, ids, columns or cells, causal, grid)


def sequence(job: int, pieces: list[str | tuple[str, int]], *, limit: int = 3) -> Sequence:
    """``pieces``: words of one letter a token, and images."""
    texts: list[list[int]] = [[]]
    images = []
    for piece in pieces:
        if isinstance(piece, str):
            texts[-1] += [ord(letter) % VOCABULARY for letter in piece]
        else:
            images.append((image(*piece),))
            texts.append([])
    texts[-1] += [3, 4]  # what a template ends with
    feed, layout = assemble([np.array(text, np.int32) for text in texts], images)
    answer = Answer(
        [b"%c" % (97 + at) for at in range(VOCABULARY)], frozenset({END}), stops=(), limit=limit, earlier=()
    )
    return Sequence(job, feed, answer, Sampler(SamplerParameters(0.0, 1.0, 0)), layout=layout)


def batcher_of(backend: ImageBackend, *, batch: int = 32, slots: int = 4, speculate: bool = False) -> Batcher:
    return Batcher(
        backend,
        slots=slots,
        kv_tokens=KV,
        batch_tokens=batch,
        queue_limit=64,
        clock=lambda: 0.0,
        pace=FreePace(),
        speculate=speculate,
    )


def alone(pieces: list[str | tuple[str, int]], *, grid: bool) -> list[int]:
    batcher = batcher_of(ImageBackend(grid=grid))
    assert batcher.submit(sequence(0, pieces))
    return [token for output in run_out(batcher) for token in output.ids]


def test_an_image_is_decoded_by_itself_between_its_texts():
    backend = ImageBackend()
    batcher = batcher_of(backend)
    batcher.submit(sequence(0, ["ab", ("strip", 1), "cd"]))
    run_out(batcher)
    assert backend.images == [7]
    assert [[(chunk.position, chunk.size) for chunk in batch] for batch in backend.batches[:2]] == [[(0, 2)], [(9, 4)]]


def test_a_causal_picture_is_cut_to_the_batch_and_another_is_not():
    backend = ImageBackend()
    batcher = batcher_of(backend, batch=4)
    batcher.submit(sequence(0, ["a", ("strip", 1), ("whole", 1)]))
    run_out(batcher)
    assert backend.images == [4, 3, 9]


def test_no_row_of_an_image_is_left_alone():
    backend = ImageBackend()
    batcher = batcher_of(backend, batch=200)
    batcher.submit(sequence(0, ["abc", ("odd", 1), "d"]))
    run_out(batcher)
    assert backend.images == [59, 2]
    assert backend.lone_rows == 0


def test_text_after_a_grid_goes_on_after_its_columns():
    backend = ImageBackend(grid=True)
    batcher = batcher_of(backend)
    batcher.submit(sequence(0, ["ab", ("grid", 1), "c"], limit=2))
    outputs = run_out(batcher)
    assert [[(chunk.position, chunk.size) for chunk in batch] for batch in backend.batches] == [
        [(0, 2)],
        [(6, 3)],
        [(9, 1)],
    ]
    assert outputs[-1].prompt_tokens == 2 + 12 + 3


def test_the_same_image_is_computed_once():
    for grid, name in ((False, "strip"), (False, "whole"), (True, "grid")):
        backend = ImageBackend(grid=grid)
        batcher = batcher_of(backend)
        prompt = ["ab", (name, 1), "what is it"]
        for job in range(3):
            batcher.submit(sequence(job, prompt))
        outputs = run_out(batcher)
        assert len(backend.images) == 1
        ends = [output for output in outputs if output.end]
        assert [end.cached_tokens for end in ends[1:]] == [2 + SHAPES[name][0] + 10] * 2
        batcher.submit(sequence(3, ["ab", (name, 2), "what is it"]))
        assert run_out(batcher)[-1].cached_tokens == 2
        assert len(backend.images) == 2


def test_an_image_that_finds_no_room_makes_some():
    backend = ImageBackend(full_at=frozenset({4}))
    batcher = batcher_of(backend)
    pieces = ["ab", ("strip", 1), "c"]
    batcher.submit(sequence(0, ["abcdefgh"], limit=5))
    batcher.step()
    batcher.submit(sequence(1, pieces))
    outputs = run_out(batcher)
    assert {output.job: output.end for output in outputs if output.end} == {0: "length", 1: "length"}
    assert [token for output in outputs if output.job == 1 for token in output.ids] == alone(pieces, grid=False)


def test_an_image_that_fails_ends_its_own_sequence_alone():
    class Broken(ImageBackend):
        def decode_embeddings(self, embeddings, positions, slot, *, causal):
            return -3

    backend = Broken()
    batcher = batcher_of(backend)
    batcher.submit(sequence(0, ["abcdefgh"]))
    batcher.submit(sequence(1, ["ab", ("strip", 1), "c"]))
    outputs = run_out(batcher)
    assert {output.job: output.end for output in outputs if output.end} == {0: "length", 1: "error"}
    assert batcher._residents.pinned == 0
    assert len(backend.cells) == batcher._residents.used


def test_an_image_is_never_guessed_at():
    drafter = NgramDrafter([1, 2, 3, 4, -7, -8, 1, 2, 3])
    assert drafter.propose(8) == ([4], 3)


def pieces_of(names: list[str]) -> st.SearchStrategy[list[str | tuple[str, int]]]:
    piece = st.one_of(st.text("abc", min_size=1, max_size=6), st.tuples(st.sampled_from(names), st.integers(1, 2)))
    return st.lists(piece, min_size=1, max_size=4)


@settings(max_examples=200)
@given(data=st.data(), grid=st.booleans())
def test_whatever_happens_every_answer_is_that_of_its_own_prompt(data, grid):
    names = ["grid"] if grid else ["strip", "whole", "odd"]
    prompts = data.draw(st.lists(pieces_of(names), min_size=1, max_size=7))
    full = data.draw(st.frozensets(st.integers(1, 25), max_size=3))
    backend = ImageBackend(grid=grid, full_at=full)
    batcher = batcher_of(
        backend,
        batch=data.draw(st.sampled_from([8, 32, 100])),
        slots=data.draw(st.integers(1, 4)),
        speculate=data.draw(st.booleans()),
    )
    said: dict[int, list[int]] = {job: [] for job in range(len(prompts))}
    ends: dict[int, str] = {}

    def note() -> None:
        assert len(backend.cells) == batcher._residents.used
        report = batcher.report()
        for output in report.outputs if report else []:
            said[output.job] += output.ids
            if output.end:
                ends[output.job] = output.end

    for job, pieces in enumerate(prompts):
        made = sequence(job, pieces)
        if made.reserved <= KV:
            assert batcher.submit(made)
        else:
            ends[job] = "skipped"
        for _ in range(data.draw(st.integers(0, 3))):
            batcher.step()
            note()
        if data.draw(st.booleans()):
            batcher.cancel(data.draw(st.integers(0, job)))
            note()
    for _ in range(600):
        if not batcher.busy:
            break
        batcher.step()
        note()
    assert not batcher.busy
    for job, pieces in enumerate(prompts):
        if ends[job] == "length":
            assert said[job] == alone(pieces, grid=grid)
        else:
            assert ends[job] in ("cancelled", "skipped") or full
    assert len(backend.cells) == batcher._residents.used
    assert batcher._residents.pinned == 0
