"""A backend without a model: records every batch and lets a test say which token comes next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from peernode.engine.protocol import Output
from peernode.engine.worker.answer import Answer
from peernode.engine.worker.batcher import Batcher
from peernode.engine.worker.pacing import Pace
from peernode.engine.worker.sampler import Sampler, SamplerParameters
from peernode.engine.worker.sequence import Sequence as JobSequence

VOCABULARY = 16
END = 0


@dataclass(frozen=True)
class Chunk:
    slot: int
    position: int
    size: int
    wants_logits: bool


@dataclass
class ScriptedBackend:
    """Every sequence says token 1 for ever, unless ``next_token`` decides otherwise by slot."""

    next_token: Callable[[int], int] = lambda _slot: 1
    failures: dict[int, int] = field(default_factory=dict)
    before_decode: Callable[[int], None] = lambda _step: None
    broken_slots: set[int] = field(default_factory=set)
    batches: list[list[Chunk]] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)

    sequences: int = 0
    kernel_rows: int = 0

    def begin(self) -> None:
        self._current: list[Chunk] = []

    def add(self, tokens: np.ndarray, position: int, slot: int, *, outputs: int) -> None:
        self._current.append(Chunk(slot, position, len(tokens), outputs > 0))

    def decode(self) -> int:
        self.batches.append(self._current)
        step = len(self.batches)
        self.before_decode(step)
        return self.failures.get(step, 0)

    def logits(self, row: int) -> np.ndarray:
        slot = [chunk.slot for chunk in self._current if chunk.wants_logits][row]
        logits = np.zeros(VOCABULARY, np.float32)
        logits[self.next_token(slot)] = np.nan if slot in self.broken_slots else 9.0
        return logits

    def forget(self, slot: int) -> None:
        self.forgotten.append(slot)

    def cut(self, slot: int, position: int) -> None:
        pass

    def shelve(self, slot: int, position: int) -> None:
        self.cut(slot, position)

    def clear_shelf(self) -> None:
        pass

    def adopt(self, slot: int, source: int, begin: int, end: int) -> None:
        pass

    def save(self, slot: int, begin: int, end: int) -> np.ndarray | None:
        return None

    def restore(self, slot: int, begin: int, end: int, data: np.ndarray) -> bool:
        return False


class FreePace(Pace):
    """No limit but the batch."""

    def prefill_budget(self, *, decoding: bool) -> int:
        return 1 << 20


def batcher_of(backend: ScriptedBackend, *, slots: int = 2, kv: int = 1000, batch: int = 32, queue: int = 4) -> Batcher:
    return Batcher(
        backend,
        slots=slots,
        kv_tokens=kv,
        batch_tokens=batch,
        queue_limit=queue,
        clock=lambda: 0.0,
        pace=FreePace(),
    )


def sequence(job: int, *, prompt: int = 3, limit: int = 4, earlier: Sequence[int] = ()) -> JobSequence:
    pieces = [b""] + [bytes([96 + at]) for at in range(1, VOCABULARY)]
    answer = Answer(pieces, frozenset({END}), stops=(), limit=limit, earlier=earlier)
    return JobSequence(job, np.full(prompt, 5, np.int32), answer, Sampler(SamplerParameters(0.0, 1.0, 0)))


def outputs(batcher: Batcher) -> list[Output]:
    report = batcher.report()
    return [] if report is None else report.outputs


def run_out(batcher: Batcher) -> list[Output]:
    """Every output until nothing runs any more."""
    said = outputs(batcher)
    while batcher.busy:
        batcher.step()
        said += outputs(batcher)
    return said
