"""Continuous batching: who gets a slot, and what goes into the next decode step.

Owns admission by memory budget, the filling of batches and the end of every sequence. A sequence reserves cells for
its prompt and its whole completion, so that a step never runs out of them; prefixes that are resident are not computed
again, and a prompt that another is just computing is waited for. Knows the model only as a ``Backend``.
"""

from __future__ import annotations

from collections.abc import Callable

from peernode.engine.protocol import Output, Step, merged
from peernode.engine.worker.backend import Backend
from peernode.engine.worker.constraint import ConstraintBroken
from peernode.engine.worker.fairness import Line
from peernode.engine.worker.growth import Growth, grow
from peernode.engine.worker.pacing import Pace
from peernode.engine.worker.prefill import Prefill
from peernode.engine.worker.prefix_store import PrefixStore
from peernode.engine.worker.profile import Profile
from peernode.engine.worker.residents import Residents
from peernode.engine.worker.sampler import NonFiniteLogits
from peernode.engine.worker.sequence import Sequence
from peernode.engine.worker.speculation import DRAFT_ROWS, Speculation
from peernode.engine.worker.step_plan import StepPlan, show_image

# llama_decode's word for "no room in the memory": nothing was computed, the same batch may be tried again.
_MEMORY_FULL = 1


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
        speculate: bool = False,
        store: PrefixStore | None = None,
        idle_cells: int | None = None,
    ) -> None:
        self._backend = backend
        self._slots = slots
        self._kv_tokens = kv_tokens
        self._batch_tokens = batch_tokens
        self._clock = clock
        self._pace = pace or Pace()
        self._residents = Residents(
            backend,
            slots=slots,
            kv_tokens=kv_tokens,
            store=store,
            idle_cells=idle_cells,
            ordered=bool(backend.kernel_rows),
        )
        self._prefill = Prefill(self._residents, kernel_rows=backend.kernel_rows)
        # Wrong drafts are cut from the memory again, which not every model's can be.
        self._speculation = Speculation(self._pace, enabled=speculate and self._residents.shares)
        self._running: dict[int, Sequence] = {}  # oldest first
        self._suspects: list[Sequence] = []
        self._line = Line(queue_limit)
        self._outputs: list[Output] = []
        self.urgent = False  # somebody waits for the next report: for a first token, or for an end
        # What a grammar forces beyond this is computed like a prompt, so that all answers' rows fit one batch.
        self._most_pending = max(1, batch_tokens // (2 * slots))
        self._prefilled = self._reused = 0
        self.profile = Profile()
        self.steps = 0
        self._reported = (0, 0, 0)

    @property
    def busy(self) -> bool:
        return bool(self._running or self._line)

    def submit(self, sequence: Sequence) -> bool:
        """False when there is neither a slot nor a place in the line."""
        if sequence.answer.end:
            self._report_end(sequence, Growth())
            return True
        if not self._line and self._fits(sequence):
            self._line.pass_by(sequence)
            self._start(sequence)
            return True
        joined = self._line.join(sequence)
        self._admit()
        return joined

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
        self._report_end(sequence, Growth(sequence.answer.rest()))
        self._admit()

    def end_unstarted(self, job: int) -> None:
        """Report the end of a job that was cancelled before it was a sequence."""
        self._outputs.append(Output(job, "", [], "cancelled"))
        self.urgent = True

    def step(self) -> None:
        """One decode of everything that can go on, decoding sequences first."""
        self.tidy()
        began = self._clock()
        plan = self._choose()
        if not plan:
            return
        seen = 0
        if plan.images:
            seen = self._show(plan.images)
            plan = plan.without(lambda sequence: self._running.get(sequence.job) is not sequence)
        shown = self._clock()
        plan.fill(self._backend)
        filled = self._clock()
        failure = self._backend.decode() if plan else 0
        decoded = self._clock()
        self.steps += 1
        if failure:
            self._recover(plan.sequences, failure)
        else:
            self._suspects = self._suspects[1:]
            rows, drafted, prefilled = plan.rows, plan.drafted, plan.prefilled + seen
            self._advance(plan)
            self._prefilled += prefilled
            ended = self._clock()
            self._pace.observe(decoded=rows, prefilled=prefilled, seconds=ended - began, drafted=drafted)
            self.profile.sample += ended - decoded
        self.profile.fill += filled - shown
        self.profile.decode += decoded - filled + shown - began
        self._admit()

    def tidy(self) -> bool:
        """Move a little of what lies idle out of the way; False when nothing does."""
        began = self._clock()
        moved = self._residents.tidy()
        self.profile.move += self._clock() - began
        return moved

    def report(self) -> Step | None:
        """Everything since the last report, or None when nothing has changed."""
        state = (self.steps, self._residents.used, self._residents.stored)
        if not self._outputs and self._reported == state:
            return None
        self._reported = state
        outputs, self._outputs = merged(self._outputs), []
        self.urgent = False
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
            self._speculation.drafted,
            self._speculation.accepted,
            self.profile.seconds(),
            self._residents.stored,
        )

    def _choose(self) -> StepPlan:
        """Who decodes and whose prompt is computed how far; the memory for it is there afterwards."""
        going = self._suspects[:1] or list(self._running.values())
        decoding = [sequence for sequence in going if not sequence.prefilling]
        budget = self._pace.prefill_budget(decoding=bool(decoding))
        rows = sum(len(sequence.pending) for sequence in decoding)
        chunks = self._prefill.chunks(going, room=min(self._batch_tokens - rows, budget), beside=rows)
        plan = StepPlan.of(decoding, chunks)
        if not chunks and not self._suspects:
            # More rows than the kernel takes at once would be computed in two calls, the second for a few.
            most = min(self._batch_tokens, self._backend.kernel_rows or self._batch_tokens)
            self._speculation.propose(decoding, room=min(DRAFT_ROWS, most - rows))
        self._residents.make_room(plan.rows + plan.prefilled)
        return plan

    def _show(self, images: list[tuple[Sequence, int]]) -> int:
        """Compute pieces of images one by one; returns how many cells. One that finds no room may preempt others."""
        shown = 0
        for sequence, size in images:
            if self._running.get(sequence.job) is not sequence:
                continue
            failure = show_image(self._backend, sequence, size)
            if failure:
                self._recover([sequence], failure)
            else:
                self._prefill_grew(sequence, size)
                shown += size
        return shown

    def _advance(self, plan: StepPlan) -> None:
        row = 0
        for sequence in plan.decoding:
            computed, drafted = len(sequence.pending), len(sequence.drafts)
            growth = self._grow(sequence, row)
            row += 1 + drafted
            sequence.in_memory += computed + growth.kept
            self._residents.grew(sequence, computed + growth.kept)
            if drafted:
                self._speculation.judge(drafted, growth.kept)
                if growth.kept < drafted:
                    self._residents.reject(sequence, drafted - growth.kept)
            self._settle(sequence, growth)
        for sequence, size in plan.chunks:
            self._prefill_grew(sequence, size)
            if not sequence.prefilling:
                self._settle(sequence, self._grow(sequence, row))
                row += 1

    def _prefill_grew(self, sequence: Sequence, size: int) -> None:
        if not sequence.computed and not sequence.said:
            sequence.cached = sequence.in_memory
            self._reused += sequence.cached
        sequence.computed += size
        sequence.in_memory += size
        self._residents.grew(sequence, size)

    def _grow(self, sequence: Sequence, row: int) -> Growth:
        """What the rows of this step add to the answer; where that fails, its ``end`` is "error" afterwards."""
        try:
            return grow(sequence, lambda at: self._backend.logits(row + at))
        except NonFiniteLogits:
            return self._failed(sequence, "the model's logits are not finite")
        except ConstraintBroken as err:
            return self._failed(sequence, f"the grammar cannot go on: {err}")

    def _failed(self, sequence: Sequence, cause: str) -> Growth:
        sequence.answer.end = "error"
        return Growth(failure=cause)

    def _settle(self, sequence: Sequence, growth: Growth) -> None:
        """Report what came, and end the sequence if that was its end."""
        if growth.failure:
            self._fail(sequence, growth.failure)
        elif sequence.answer.end:
            self._leave(sequence)
            self._residents.retire(sequence)
            self._report_end(sequence, growth)
        else:
            first = len(growth.ids) == sequence.answer.new_tokens
            told = (len(sequence.prompt), 0, sequence.cached) if first else (0, 0, 0)
            output = Output(sequence.job, growth.text, growth.ids, "", *told, logprobs=growth.logprobs)
            self._outputs.append(output)
            self.urgent |= first
            if len(sequence.pending) > self._most_pending:
                sequence.feed_pending()

    def _recover(self, sequences: list[Sequence], failure: int) -> None:
        """After a decode that failed: make room if that was it, else find out whose fault it was, one by one."""
        for sequence in sequences:
            sequence.drafts = []
            self._residents.cut(sequence)
        if failure == _MEMORY_FULL and (self._residents.evict_all() or self._preempt_youngest()):
            return
        if len(sequences) == 1:
            self._fail(sequences[0], f"llama_decode returned {failure}")
        else:
            self._suspects = sequences

    def _preempt_youngest(self) -> bool:
        """Put the youngest back in the line, to be computed again later; a background job rather than another."""
        if len(self._running) < 2:
            return False
        youngest = max(reversed(self._running.values()), key=lambda sequence: sequence.background)
        self._residents.drop(youngest)
        self._put_back(youngest)
        return True

    def _make_way(self, sequence: Sequence) -> None:
        """Put background jobs back, the youngest first, if that is what keeps out one that is none."""
        behind = [one for one in reversed(self._running.values()) if one.background]
        if sequence.background or self._lacking(sequence) > sum(one.reserved for one in behind):
            return
        for one in behind:
            if self._fits(sequence):
                return
            # What it has computed stays as a cached prefix, as long as nobody needs the room.
            self._residents.retire(one)
            self._put_back(one)

    def _put_back(self, sequence: Sequence) -> None:
        """Its answer so far stands."""
        self._leave(sequence)
        sequence.put_back()
        self._line.come_back(sequence)

    def _fail(self, sequence: Sequence, cause: str) -> None:
        self._leave(sequence)
        self._residents.drop(sequence)
        sequence.answer.end = "error"
        self._report_end(sequence, Growth(failure=cause))

    def _report_end(self, sequence: Sequence, growth: Growth) -> None:
        answer = sequence.answer
        self.urgent = True
        self._outputs.append(
            Output(
                sequence.job,
                growth.text,
                growth.ids,
                answer.end,
                len(sequence.prompt),
                answer.new_tokens,
                sequence.cached,
                growth.failure,
                growth.logprobs,
            )
        )

    def _promised(self) -> int:
        """Cells that running sequences may still need."""
        return sum(sequence.reserved - sequence.in_memory for sequence in self._running.values())

    def _fits(self, sequence: Sequence) -> bool:
        return len(self._running) < self._slots and self._lacking(sequence) <= 0

    def _lacking(self, sequence: Sequence) -> int:
        """How many cells too few there are for it."""
        needed = sequence.reserved - self._residents.credit(sequence)
        return self._residents.pinned + self._promised() + needed - self._kv_tokens

    def _admit(self) -> None:
        while (sequence := self._line.head()) is not None:
            if not self._fits(sequence):
                self._make_way(sequence)
                if not self._fits(sequence):
                    return
            self._line.serve(sequence)
            self._start(sequence)

    def _start(self, sequence: Sequence) -> None:
        self._residents.start(sequence)
        self._running[sequence.job] = sequence

    def _leave(self, sequence: Sequence) -> None:
        del self._running[sequence.job]
        self._speculation.forget(sequence)
        self._suspects = [suspect for suspect in self._suspects if suspect is not sequence]
