"""Who gets a slot, what is in a batch, and that every end frees what was held."""

from __future__ import annotations

from tests.engine.scripted import END, Chunk, ScriptedBackend, batcher_of, outputs, run_out, sequence


def test_two_sequences_share_every_batch() -> None:
    backend = ScriptedBackend()
    batcher = batcher_of(backend)
    assert batcher.submit(sequence(1))
    assert batcher.submit(sequence(2))
    said = run_out(batcher)
    assert [len(batch) for batch in backend.batches] == [2, 2, 2, 2]
    ends = {output.job: output for output in said if output.end}
    assert {job: (end.end, end.completion_tokens) for job, end in ends.items()} == {1: ("length", 4), 2: ("length", 4)}


def test_decoding_sequences_come_first_and_prompts_fill_the_rest() -> None:
    backend = ScriptedBackend()
    batcher = batcher_of(backend, batch=8)
    batcher.submit(sequence(1, limit=9))
    batcher.step()
    batcher.submit(sequence(2, prompt=10))
    batcher.step()
    batcher.step()
    assert backend.batches[1] == [Chunk(0, 3, 1, True), Chunk(1, 0, 7, False)]
    assert backend.batches[2] == [Chunk(0, 4, 1, True), Chunk(1, 7, 3, True)]


def test_one_batch_prefills_several_prompts() -> None:
    backend = ScriptedBackend()
    batcher = batcher_of(backend, batch=8)
    batcher.submit(sequence(1, prompt=3))
    batcher.submit(sequence(2, prompt=10))
    batcher.step()
    assert backend.batches[0] == [Chunk(0, 0, 3, True), Chunk(1, 0, 5, False)]


def test_no_more_memory_is_promised_than_there_is() -> None:
    batcher = batcher_of(ScriptedBackend(), slots=8, kv=20)
    for job in range(4):
        batcher.submit(sequence(job, prompt=5, limit=5))
    batcher.step()
    report = batcher.report()
    assert report is not None
    assert (report.kv_used, report.queued, report.free_slots) == (20, 2, 6)


def test_a_small_job_does_not_overtake_a_large_one() -> None:
    batcher = batcher_of(ScriptedBackend(), slots=3, kv=20)
    batcher.submit(sequence(1, prompt=8, limit=4))
    batcher.submit(sequence(2, prompt=15, limit=2))
    batcher.submit(sequence(3, prompt=1, limit=1))
    ends = [output.job for output in run_out(batcher) if output.end]
    assert ends[0] == 1
    assert set(ends) == {1, 2, 3}
    batcher.submit(sequence(4, prompt=1, limit=1))
    assert batcher.busy


def test_the_line_has_an_end() -> None:
    batcher = batcher_of(ScriptedBackend(), slots=1, queue=2)
    assert [batcher.submit(sequence(job)) for job in range(4)] == [True, True, True, False]


def test_a_cancelled_job_is_gone_before_the_next_step() -> None:
    backend = ScriptedBackend()
    batcher = batcher_of(backend, slots=1)
    batcher.submit(sequence(1, limit=50))
    batcher.submit(sequence(2))
    batcher.step()
    batcher.step()
    said = outputs(batcher)
    batcher.cancel(1)
    report = batcher.report()
    assert report is not None
    (end,) = report.outputs
    assert (end.job, end.end, end.completion_tokens) == (1, "cancelled", sum(len(output.ids) for output in said))
    assert report.number == 2
    assert backend.forgotten == [0]
    batcher.step()
    assert [output.job for output in outputs(batcher)] == [2]


def test_a_waiting_job_can_be_cancelled_and_an_unknown_one_ignored() -> None:
    batcher = batcher_of(ScriptedBackend(), slots=1)
    batcher.submit(sequence(1))
    batcher.submit(sequence(2))
    batcher.cancel(2)
    batcher.cancel(77)
    assert [(output.job, output.end) for output in outputs(batcher)] == [(2, "cancelled")]
    assert {output.job for output in run_out(batcher)} == {1}


def test_the_end_token_ends_one_sequence_and_not_its_neighbour() -> None:
    backend = ScriptedBackend(next_token=lambda slot: END if slot == 0 else 1)
    batcher = batcher_of(backend)
    batcher.submit(sequence(1))
    batcher.submit(sequence(2))
    ends = {output.job: (output.end, output.completion_tokens) for output in run_out(batcher) if output.end}
    assert ends == {1: ("stop", 0), 2: ("length", 4)}


def test_a_failed_decode_ends_those_in_the_batch_and_nobody_else() -> None:
    backend = ScriptedBackend(failures={2: 1})
    batcher = batcher_of(backend, slots=1)
    batcher.submit(sequence(1))
    batcher.submit(sequence(2))
    ends = {output.job: (output.end, output.cause) for output in run_out(batcher) if output.end}
    assert ends == {1: ("error", "llama_decode returned 1"), 2: ("length", "")}
    report_after = batcher_of(backend)
    assert not report_after.busy


def test_broken_logits_end_only_their_own_sequence() -> None:
    backend = ScriptedBackend(broken_slots={0})
    batcher = batcher_of(backend)
    batcher.submit(sequence(1))
    batcher.submit(sequence(2))
    ends = {output.job: output.end for output in run_out(batcher) if output.end}
    assert ends == {1: "error", 2: "length"}


def test_everything_is_free_again_at_the_end() -> None:
    backend = ScriptedBackend()
    batcher = batcher_of(backend, slots=3, kv=40, queue=20)
    for job in range(10):
        batcher.submit(sequence(job, prompt=job % 5 + 1, limit=job % 3 + 1))
    report = None
    while batcher.busy:
        batcher.step()
        report = batcher.report()
    assert report is not None
    assert (report.free_slots, report.queued, report.kv_used) == (3, 0, 0)
    assert len(backend.forgotten) == 10


def test_a_continued_answer_that_is_complete_needs_no_step() -> None:
    backend = ScriptedBackend()
    batcher = batcher_of(backend)
    batcher.submit(sequence(1, limit=2, earlier=(1, 1)))
    assert [(output.end, output.completion_tokens) for output in outputs(batcher)] == [("length", 0)]
    assert backend.batches == []
