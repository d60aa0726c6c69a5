"""How loaded an engine is, as the steps of its worker tell; see ``EngineLoad`` for what the numbers mean."""

from __future__ import annotations

from dataclasses import replace

from peernode.engine.facts import EngineLoad, StepSeconds
from peernode.engine.protocol import Step


class LoadGauge:
    """Keeps the latest snapshot; rates survive a rest, for they say how fast the model is when it runs."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self.load = EngineLoad(slots, slots, 0, 0, 0, 0.0, 0.0, 0)

    def take(self, step: Step) -> bool:
        """Whether free slots or the queue have changed."""
        before = self.load
        self.load = replace(
            before,
            free_slots=step.free_slots,
            queued=step.queued,
            kv_used=step.kv_used,
            decode_tps=step.decode_tps,
            prefill_tps=step.prefill_tps,
            steps=step.number,
            kv_cached=step.kv_cached,
            prefilled=step.prefilled,
            reused=step.reused,
            drafted=step.drafted,
            accepted=step.accepted,
            seconds=StepSeconds(*step.profile),
            stored=step.stored,
        )
        return (before.free_slots, before.queued) != (step.free_slots, step.queued)

    def rest(self, *, kv_tokens: int) -> None:
        """No job is here, and nothing is in memory; ``kv_tokens`` is what there is room for."""
        self.load = EngineLoad(
            self._slots, self._slots, 0, 0, kv_tokens, self.load.decode_tps, self.load.prefill_tps, 0
        )
