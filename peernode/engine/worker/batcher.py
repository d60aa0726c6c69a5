"""Continuous batching: who gets a slot, and what goes into the next decode step.

Owns admission by memory budget, the waiting line, the filling of batches and the end of every sequence. A sequence
reserves cells for its prompt and its whole completion, so that a step never runs out of them. The waiting line is
strictly first in, first out: a large job is not starved by small ones. Knows the model only as a ``Backend``.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np

from peernode.engine.protocol import Output, Step
from peernode.engine.worker.candidates import Floats
from peernode.engine.worker.pacing import Pace
from peernode.engine.worker.sampler import NonFiniteLogits
from peernode.engine.worker.sequence import Sequence, TokenArray
from peernode.wire.logprobs import Logprobs


class Backend(Protocol):
    """One context's batch. Rows of logits come in the order in which ``add`` asked for them."""

    def begin(self) -> None: ...

    def add(self, tokens: TokenArray, position: int, slot: int, *, wants_logits: bool) -> None: ...

    def decode(self) -> int:
        """Run the batch; 0 is success, anything else llama.cpp's reason."""
        ...

    def logits(self, row: int) -> Floats: ...

    def forget(self, slot: int) -> None:
        """Free every cell of the sequence in ``slot``."""
        ...


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
        self._kv_tokens = kv_tokens
        self._batch_tokens = batch_tokens
        self._queue_limit = queue_limit
        self._clock = clock
        self._pace = pace or Pace()
        self._free_slots = list(range(slots))
        self._running: dict[int, Sequence] = {}
        self._waiting: deque[Sequence] = deque()
        self._kv_reserved = 0
        self._outputs: list[Output] = []
        self._last_token = np.zeros(1, np.int32)
        self.steps = self._reported_steps = 0

    @property
    def busy(self) -> bool:
        return bool(self._running or self._waiting)

    def submit(self, sequence: Sequence) -> bool:
        """False when there is neither a slot nor a place in the line."""
        if sequence.answer.end:
            self._report_end(sequence, "", [])
            return True
        if not self._waiting and self._fits(sequence):
            self._start(sequence)
            return True
        if len(self._waiting) >= self._queue_limit:
            return False
        self._waiting.append(sequence)
        return True

    def cancel(self, job: int) -> None:
        """End the job now; what it already said stands. A job that is not here has ended before."""
        sequence = self._running.get(job)
        if sequence is not None:
            self._release(sequence)
        else:
            sequence = next((waiting for waiting in self._waiting if waiting.job == job), None)
            if sequence is None:
                return
            self._waiting.remove(sequence)
        sequence.answer.end = "cancelled"
        self._report_end(sequence, sequence.answer.rest(), [])
        self._admit()

    def step(self) -> None:
        """One decode of everything that can go on, decoding sequences first."""
        began = self._clock()
        decoding = [sequence for sequence in self._running.values() if not sequence.prefilling]
        chunks = self._fill(decoding)
        if not decoding and not chunks:
            return
        failure = self._backend.decode()
        self.steps += 1
        if failure:
            self._fail([*decoding, *(sequence for sequence, _ in chunks)], f"llama_decode returned {failure}")
        else:
            self._advance(decoding, chunks)
            prefilled = sum(size for _, size in chunks)
            self._pace.observe(decoded=len(decoding), prefilled=prefilled, seconds=self._clock() - began)
        self._admit()

    def report(self) -> Step | None:
        """Everything since the last report, or None when there was neither a step nor an end."""
        if not self._outputs and self._reported_steps == self.steps:
            return None
        self._reported_steps = self.steps
        outputs, self._outputs = self._outputs, []
        return Step(
            self.steps,
            len(self._free_slots),
            len(self._waiting),
            self._kv_reserved,
            self._pace.decode_tps,
            self._pace.prefill_tps,
            outputs,
        )

    def _fill(self, decoding: list[Sequence]) -> list[tuple[Sequence, int]]:
        """Put the next tokens and then prompt chunks into the batch; says whose chunk has which size."""
        backend = self._backend
        backend.begin()
        for sequence in decoding:
            self._last_token[0] = sequence.next_token
            backend.add(self._last_token, sequence.in_memory, sequence.slot, wants_logits=True)
        room = self._batch_tokens - len(decoding)
        room = min(room, self._pace.prefill_budget(decoding=bool(decoding)))
        chunks: list[tuple[Sequence, int]] = []
        for sequence in self._running.values():
            if room <= 0:
                break
            if not sequence.prefilling:
                continue
            done = sequence.in_memory
            size = min(len(sequence.prompt) - done, room)
            last = done + size == len(sequence.prompt)
            backend.add(sequence.prompt[done : done + size], done, sequence.slot, wants_logits=last)
            chunks.append((sequence, size))
            room -= size
        return chunks

    def _advance(self, decoding: list[Sequence], chunks: list[tuple[Sequence, int]]) -> None:
        row = 0
        for sequence in decoding:
            sequence.in_memory += 1
            self._extend(sequence, row)
            row += 1
        for sequence, size in chunks:
            sequence.in_memory += size
            if not sequence.prefilling:
                self._extend(sequence, row)
                row += 1

    def _extend(self, sequence: Sequence, row: int) -> None:
        answer = sequence.answer
        try:
            choice = sequence.sampler.choose(self._backend.logits(row), answer.position)
        except NonFiniteLogits:
            self._fail([sequence], "the model's logits are not finite")
            return
        text, ids = answer.add(choice.token)
        sequence.next_token = choice.token
        logprobs = choice.logprobs if ids else []  # the end token is no part of the answer
        if answer.end:
            self._release(sequence)
            self._report_end(sequence, text, ids, logprobs=logprobs)
        else:
            self._outputs.append(Output(sequence.job, text, ids, logprobs=logprobs))

    def _fail(self, sequences: list[Sequence], cause: str) -> None:
        for sequence in sequences:
            self._release(sequence)
            sequence.answer.end = "error"
            self._report_end(sequence, "", [], cause)

    def _report_end(
        self, sequence: Sequence, text: str, ids: list[int], cause: str = "", logprobs: list[Logprobs] | None = None
    ) -> None:
        answer = sequence.answer
        size, gained = len(sequence.prompt), answer.new_tokens
        self._outputs.append(Output(sequence.job, text, ids, answer.end, size, gained, 0, cause, logprobs or []))

    def _fits(self, sequence: Sequence) -> bool:
        return bool(self._free_slots) and self._kv_reserved + sequence.reserved <= self._kv_tokens

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0]):
            self._start(self._waiting.popleft())

    def _start(self, sequence: Sequence) -> None:
        sequence.slot = heapq.heappop(self._free_slots)
        self._kv_reserved += sequence.reserved
        self._running[sequence.job] = sequence

    def _release(self, sequence: Sequence) -> None:
        del self._running[sequence.job]
        self._backend.forget(sequence.slot)
        heapq.heappush(self._free_slots, sequence.slot)
        self._kv_reserved -= sequence.reserved
