"""Continuous batching: who gets a slot, and what goes into the next decode step.

Owns admission by memory budget, the filling of batches and the end of every sequence. A sequence reserves cells for
its prompt and its whole completion, so that a step never runs out of them; prefixes that are resident are not computed
again, and a prompt that another is just computing is waited for. Knows the model only as a ``Backend``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from peernode.engine.protocol import Output, Step
from peernode.engine.worker.candidates import Floats
from peernode.engine.worker.fairness import Line
from peernode.engine.worker.pacing import Pace
from peernode.engine.worker.prefill import Prefill
from peernode.engine.worker.residents import Cells, Residents
from peernode.engine.worker.sampler import NonFiniteLogits
from peernode.engine.worker.sequence import Sequence, TokenArray
from peernode.wire.logprobs import Logprobs

# llama_decode's word for "no room in the memory": nothing was computed, the same batch may be tried again.
_MEMORY_FULL = 1


class Backend(Cells, Protocol):
    """One context's batch. Rows of logits come in the order in which ``add`` asked for them."""

    @property
    def kernel_rows(self) -> int:
        """How many rows are computed together; a row left alone may round differently. 0 where that is no matter."""
        ...

    def begin(self) -> None: ...

    def add(self, tokens: TokenArray, position: int, slot: int, *, wants_logits: bool) -> None: ...

    def decode(self) -> int:
        """Run the batch; 0 is success, anything else llama.cpp's reason."""
        ...

    def logits(self, row: int) -> Floats: ...


class Batcher:
    """``submit`` and ``cancel`` between steps; ``step`` once per turn of the loop; ``report`` after either."""

    def __init__(
        self,
        backend: Backend,
        *,
        slots: int,
        kv_tokens: int,
        batch_tokens: int,
        queue_limit: int,
        clock: Callable[[], float],
        pace: Pace | None = None,
    ) -> None:
        self._backend = backend
        self._slots = slots
        self._kv_tokens = kv_tokens
        self._batch_tokens = batch_tokens
        self._clock = clock
        self._pace = pace or Pace()
        self._residents = Residents(backend, slots=slots, kv_tokens=kv_tokens)
        self._prefill = Prefill(self._residents, kernel_rows=backend.kernel_rows)
        self._running: dict[int, Sequence] = {}  # oldest first
        self._suspects: list[Sequence] = []
        self._line = Line(queue_limit)
        self._outputs: list[Output] = []
        self._last_token = np.zeros(1, np.int32)
        self._prefilled = self._reused = 0
        self.steps = self._reported_steps = 0

    @property
    def busy(self) -> bool:
        return bool(self._running or self._line)

    def submit(self, sequence: Sequence) -> bool:
        """False when there is neither a slot nor a place in the line."""
        if sequence.answer.end:
            self._report_end(sequence, "", [])
            return True
        if not self._line and self._fits(sequence):
            self._start(sequence)
            return True
        return self._line.join(sequence)

    def cancel(self, job: int) -> None:
        """End the job now; what it already said stands. A job that is not here has ended before."""
        sequence = self._running.get(job)
        if sequence is not None:
            self._leave(sequence)
            self._residents.retire(sequence)
        else:
            sequence = self._line.leave(job)
            if sequence is None:
                return
        sequence.answer.end = "cancelled"
        self._report_end(sequence, sequence.answer.rest(), [])
        self._admit()

    def step(self) -> None:
        """One decode of everything that can go on, decoding sequences first."""
        began = self._clock()
        decoding, chunks = self._choose()
        if not decoding and not chunks:
            return
        self._fill(decoding, chunks)
        failure = self._backend.decode()
        self.steps += 1
        if failure:
            self._recover([*decoding, *(sequence for sequence, _ in chunks)], failure)
        else:
            self._suspects = self._suspects[1:]
            self._advance(decoding, chunks)
            prefilled = sum(size for _, size in chunks)
            self._prefilled += prefilled
            self._pace.observe(decoded=len(decoding), prefilled=prefilled, seconds=self._clock() - began)
        self._admit()

    def report(self) -> Step | None:
        """Everything since the last report, or None when there was neither a step nor an end."""
        if not self._outputs and self._reported_steps == self.steps:
            return None
        self._reported_steps = self.steps
        outputs, self._outputs = self._outputs, []
        pinned = self._residents.pinned
        return Step(
            self.steps,
            self._slots - len(self._running),
            len(self._line),
            pinned + self._promised(),
            self._pace.decode_tps,
            self._pace.prefill_tps,
            outputs,
            self._residents.used - pinned,
            self._prefilled,
            self._reused,
        )

    def _choose(self) -> tuple[list[Sequence], list[tuple[Sequence, int]]]:
        """Who decodes and whose prompt is computed how far; the memory for it is there afterwards."""
        going = self._suspects[:1] or list(self._running.values())
        decoding = [sequence for sequence in going if not sequence.prefilling]
        budget = self._pace.prefill_budget(decoding=bool(decoding))
        room = min(self._batch_tokens - len(decoding), budget)
        chunks = self._prefill.chunks(going, room=room, beside=len(decoding))
        self._residents.make_room(len(decoding) + sum(size for _, size in chunks))
        return decoding, chunks

    def _fill(self, decoding: list[Sequence], chunks: list[tuple[Sequence, int]]) -> None:
        backend = self._backend
        backend.begin()
        for sequence in decoding:
            self._last_token[0] = sequence.next_token
            backend.add(self._last_token, sequence.in_memory, sequence.slot, wants_logits=True)
        for sequence, size in chunks:
            done = sequence.in_memory
            last = done + size == len(sequence.feed)
            backend.add(sequence.feed[done : done + size], done, sequence.slot, wants_logits=last)

    def _advance(self, decoding: list[Sequence], chunks: list[tuple[Sequence, int]]) -> None:
        row = 0
        for sequence in decoding:
            sequence.in_memory += 1
            self._residents.grew(sequence, 1)
            self._extend(sequence, row)
            row += 1
        for sequence, size in chunks:
            if not sequence.computed and not sequence.said:
                sequence.cached = sequence.in_memory
                self._reused += sequence.cached
            sequence.computed += size
            sequence.in_memory += size
            self._residents.grew(sequence, size)
            if not sequence.prefilling:
                self._extend(sequence, row)
                row += 1

    def _extend(self, sequence: Sequence, row: int) -> None:
        answer = sequence.answer
        try:
            choice = sequence.sampler.choose(self._backend.logits(row), answer.position)
        except NonFiniteLogits:
            self._fail(sequence, "the model's logits are not finite")
            return
        text, ids = answer.add(choice.token)
        sequence.say(choice.token)
        logprobs = choice.logprobs if ids else []  # the end token is no part of the answer
        if answer.end:
            self._leave(sequence)
            self._residents.retire(sequence)
            self._report_end(sequence, text, ids, logprobs=logprobs)
        else:
            self._outputs.append(Output(sequence.job, text, ids, logprobs=logprobs))

    def _recover(self, sequences: list[Sequence], failure: int) -> None:
        """After a decode that failed: make room if that was it, else find out whose fault it was, one by one."""
        for sequence in sequences:
            self._residents.cut(sequence)
        if failure == _MEMORY_FULL and (self._residents.evict_all() or self._preempt_youngest()):
            return
        if len(sequences) == 1:
            self._fail(sequences[0], f"llama_decode returned {failure}")
        else:
            self._suspects = sequences

    def _preempt_youngest(self) -> bool:
        """Put the youngest back in the line, to be computed again later; its answer so far stands."""
        if len(self._running) < 2:
            return False
        youngest = self._running[next(reversed(self._running))]
        self._leave(youngest)
        self._residents.drop(youngest)
        youngest.put_back()
        self._line.come_back(youngest)
        return True

    def _fail(self, sequence: Sequence, cause: str) -> None:
        self._leave(sequence)
        self._residents.drop(sequence)
        sequence.answer.end = "error"
        self._report_end(sequence, "", [], cause)

    def _report_end(
        self, sequence: Sequence, text: str, ids: list[int], cause: str = "", logprobs: list[Logprobs] | None = None
    ) -> None:
        answer = sequence.answer
        self._outputs.append(
            Output(
                sequence.job,
                text,
                ids,
                answer.end,
                len(sequence.prompt),
                answer.new_tokens,
                sequence.cached,
                cause,
                logprobs or [],
            )
        )

    def _promised(self) -> int:
        """Cells that running sequences may still need."""
        return sum(sequence.reserved - sequence.in_memory for sequence in self._running.values())

    def _fits(self, sequence: Sequence) -> bool:
        if len(self._running) >= self._slots:
            return False
        needed = sequence.reserved - self._residents.credit(sequence)
        return self._residents.pinned + self._promised() + needed <= self._kv_tokens

    def _admit(self) -> None:
        while (sequence := self._line.head()) is not None and self._fits(sequence):
            self._line.serve(sequence)
            self._start(sequence)

    def _start(self, sequence: Sequence) -> None:
        self._residents.start(sequence)
        self._running[sequence.job] = sequence

    def _leave(self, sequence: Sequence) -> None:
        del self._running[sequence.job]
        self._suspects = [suspect for suspect in self._suspects if suspect is not sequence]
