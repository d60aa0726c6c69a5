"""Log-probabilities leave the worker with their ids: one for each, none for the token that ends the answer."""

from __future__ import annotations

import numpy as np

from peernode.chat.sampling import Sampling
from peernode.engine.worker.answer import Answer
from peernode.engine.worker.logprobs import LogprobReporter
from peernode.engine.worker.sampler import Sampler
from peernode.engine.worker.sequence import Sequence
from tests.engine.scripted import END, VOCABULARY, ScriptedBackend, batcher_of, run_out

PIECES = [b"", *(bytes([96 + at]) for at in range(1, VOCABULARY))]


def told(job: int, *, limit: int = 4, stops: tuple[str, ...] = (), top: int | None = 2) -> Sequence:
    answer = Answer(PIECES, frozenset({END}), stops=stops, limit=limit)
    reporter = None if top is None else LogprobReporter(PIECES, top)
    sampler = Sampler.of(Sampling.of(temperature=0), 1, reporter=reporter)
    return Sequence(job, np.full(3, 5, np.int32), answer, sampler)


def test_every_id_has_one_and_the_end_has_none() -> None:
    said = iter([1, 2, END])
    batcher = batcher_of(ScriptedBackend(next_token=lambda _slot: next(said)))
    batcher.submit(told(1))
    outputs = run_out(batcher)
    assert [output.ids for output in outputs] == [[1], [2], []]
    assert [[entry.chosen.id for entry in output.logprobs] for output in outputs] == [[1], [2], []]
    assert outputs[-1].end == "stop"


def test_the_last_token_of_a_limited_answer_brings_its_own() -> None:
    batcher = batcher_of(ScriptedBackend())
    batcher.submit(told(1, limit=2))
    outputs = run_out(batcher)
    assert outputs[-1].end == "length"
    assert [len(output.logprobs) for output in outputs] == [1, 1]


def test_they_do_not_wait_for_text_that_is_held_back() -> None:
    batcher = batcher_of(ScriptedBackend())
    batcher.submit(told(1, stops=("aab",)))
    outputs = run_out(batcher)
    assert [output.text for output in outputs] == ["", "", "a", "aaa"]
    assert [len(output.logprobs) for output in outputs] == [1] * 4


def test_a_neighbour_that_did_not_ask_gets_none() -> None:
    batcher = batcher_of(ScriptedBackend())
    batcher.submit(told(1))
    batcher.submit(told(2, top=None))
    outputs = run_out(batcher)
    assert {output.job for output in outputs if output.logprobs} == {1}
