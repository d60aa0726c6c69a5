"""One model behind the ``JobRunner`` interface: a supervised worker process and the jobs in it.

Owns the worker's life (start, readiness, restart with backoff, certain end) and the routing of its reports to
streams. Leaves batching and sampling to the worker, prices and deadlines to the market.
"""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import trio

from peernode.chat.errors import BadRequest, JobError, ProviderBusy, ProviderFailed
from peernode.chat.job import ChatJob
from peernode.engine.availability import Availability, EngineState
from peernode.engine.backoff import Backoff
from peernode.engine.digest_cache import DigestCache
from peernode.engine.errors import ModelLoadFailed
from peernode.engine.facts import EngineLoad, ModelFacts
from peernode.engine.load_progress import LoadProgress
from peernode.engine.model_file import ModelFile
from peernode.engine.process import WorkerProcess, started_worker
from peernode.engine.protocol import Accepted, Cancel, LoadFailed, Progress, Ready, Refused, Report, Step
from peernode.engine.settings import EngineSettings
from peernode.engine.stream import EngineStream
from peernode.engine.stream_table import StreamTable
from peernode.engine.submission import submission

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the installed stubs are older than trio.TaskStatus

log = structlog.get_logger(__name__)

# A file that kills the worker while it loads will most likely do so again.
_LOAD_DEATHS = 3
_LOAD_SILENCE_S = 300.0
_STEP_SILENCE_S = 120.0


class Engine:
    """Implements ``JobRunner``. ``run`` must run for ``open`` to have somebody to ask.

    ``state`` goes loading → ready ⇄ restarting, or to failed (then ``failure`` says why), and last to stopped.
    """

    def __init__(
        self,
        model_id: str,
        path: Path,
        settings: EngineSettings | None = None,
        *,
        digests: DigestCache | None = None,
        clock: Callable[[], float] = trio.current_time,
        rng: random.Random | None = None,
    ) -> None:
        self.model_id = model_id
        self.settings = settings or EngineSettings()
        self.facts: ModelFacts | None = None
        self.worker_pid: int | None = None
        self._availability = Availability()
        self._file = ModelFile(path, digests)
        self._progress = LoadProgress(clock)
        self._clock = clock
        self._backoff = Backoff(rng or random.Random())
        self._worker: WorkerProcess | None = None
        self._ready: Ready | None = None
        self._ready_at: float | None = None
        self._streams = StreamTable()
        self._load = self._idle_load(kv_tokens=0)

    def load(self) -> EngineLoad:
        """The latest snapshot."""
        return self._load

    @property
    def state(self) -> EngineState:
        return self._availability.state

    @property
    def failure(self) -> ModelLoadFailed | None:
        return self._availability.failure

    @property
    def version(self) -> int:
        """Grows whenever the state, the free slots or the queue change."""
        return self._availability.version

    @property
    def load_progress(self) -> float | None:
        """The fraction done while the model loads, else None."""
        return self._progress.fraction

    @property
    def load_eta_s(self) -> float | None:
        """Seconds until the model is loaded, once there is a pace to tell it from."""
        return self._progress.eta_s

    async def wait_change(self, since: int) -> int:
        """Wait until ``version`` is not ``since``; returns it."""
        return await self._availability.wait_change(since)

    async def wait_ready(self) -> None:
        """Raises ModelLoadFailed or EngineStopped when it will not come to that."""
        await self._availability.wait_ready()

    @asynccontextmanager
    async def open(self, job: ChatJob) -> AsyncIterator[EngineStream]:
        """Run a job; leaving the context cancels it. Everything that goes wrong is a ``Failed`` event."""
        number = self._streams.new_number()
        stream = EngineStream(self.model_id, lambda: self._send_cancel(number))
        refusal = self._submit(number, job)
        if refusal is None:
            self._streams.add(number, stream)
        else:
            stream.fail(refusal)
        try:
            yield stream
        finally:
            stream.cancel()
            self._streams.remove(number)

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a worker alive until cancelled, or until the model turns out not to be loadable."""
        task_status.started()
        deaths_in_load = 0
        try:
            while True:
                self._ready_at = None
                await self._run_worker()
                if self.failure is not None:
                    return
                deaths_in_load = deaths_in_load + 1 if self._ready_at is None else 0
                if self.facts is None and deaths_in_load >= _LOAD_DEATHS:
                    self._give_up(_dies_in_load(deaths_in_load))
                    return
                await self._pause()
        finally:
            if self.failure is None:
                self._availability.enter("stopped")

    async def _pause(self) -> None:
        """Wait before the next worker, longer after each that did not last."""
        uptime_s = 0.0 if self._ready_at is None else self._clock() - self._ready_at
        delay_s = self._backoff.delay_after(uptime_s)
        self._availability.enter("restarting" if self.facts else "loading")
        log.warning("worker_restarts", model=self.model_id, delay_s=round(delay_s, 2))
        await trio.sleep(delay_s)

    async def _run_worker(self) -> None:
        """One worker from its start to its certain end; its jobs end with it."""
        cause = "it was stopped"
        try:
            await self._file.inspect()
            self._progress.begin("load")
            async with started_worker(self.model_id) as worker:
                self._worker, self.worker_pid = worker, worker.pid
                log.info("worker_started", model=self.model_id, worker_pid=worker.pid)
                worker.silence.deadline = trio.current_time() + _LOAD_SILENCE_S
                worker.send(self.settings.load_order(self._file.path))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._establish_facts)
                    await worker.serve(self._take)
                    nursery.cancel_scope.cancel()
            cause = f"its worker ended with {worker.exit_code}"
            log.warning("worker_ended", model=self.model_id, worker_pid=worker.pid, exit_code=worker.exit_code)
        except ModelLoadFailed as err:
            self._give_up(err)
        except OSError as err:
            cause = err.strerror or type(err).__name__
            log.error("worker_not_started", model=self.model_id, error=cause)
        finally:
            self._worker = self._ready = self.worker_pid = None
            self._progress.reset()
            if self.state == "ready":
                self._availability.enter("restarting")
            self._load = self._idle_load(kv_tokens=self._load.kv_tokens)
            self._streams.end_all(lambda stream: stream.crash(cause))

    async def _establish_facts(self) -> None:
        """Hash the file while the worker loads it; the engine is ready when both are done."""
        try:
            await self._file.digest(lambda fraction: self._progress.report("hash", fraction))
            while (ready := self._ready) is None:
                await self.wait_change(self.version)
            # Again, now that the worker has read the file, too: what it has loaded must be what was hashed.
            digest, size_bytes = await self._file.digest()
        except ModelLoadFailed as err:
            self._give_up(err)
            return
        self._progress.reset()
        self.facts = facts = ModelFacts(
            id=self.model_id,
            path=self._file.path,
            digest=digest,
            architecture=ready.architecture,
            parameters=ready.parameters,
            quantization=ready.quantization,
            context_length=ready.context_length,
            template_digest=ready.template_digest,
            sampler_version=ready.sampler_version,
            size_bytes=size_bytes,
        )
        self._ready_at = self._clock()
        self._load = self._idle_load(kv_tokens=ready.kv_tokens)
        self._availability.enter("ready")
        for note in ready.notes:
            log.warning("model_note", model=self.model_id, note=note)
        log.info(
            "model_ready",
            model=self.model_id,
            digest=digest.hex(),
            quantization=facts.quantization,
            context=facts.context_length,
            threads=ready.threads,
        )

    def _submit(self, number: int, job: ChatJob) -> JobError | None:
        if self._worker is None or self.state != "ready":
            if self.state == "failed":
                return ProviderFailed(
                    "The model is not available here.", cause=self.failure.code if self.failure else ""
                )
            return ProviderBusy("The model is not ready here.", cause=self.state, remedy="Try again shortly.")
        try:
            self._worker.send_frame(submission(number, job))
        except BadRequest as err:
            return err
        if not self._streams:
            self._worker.silence.deadline = trio.current_time() + _STEP_SILENCE_S
        return None

    def _send_cancel(self, number: int) -> None:
        if self._worker is not None and number in self._streams:
            self._worker.send(Cancel(number))

    def _take(self, report: Report) -> None:
        """Act on one report of the worker; never waits."""
        assert self._worker is not None
        match report:
            case Step():
                self._take_step(report)
            case Accepted():
                self._streams.accepted(report)
            case Refused():
                self._streams.refused(report)
            case Progress(fraction=fraction):
                self._progress.report("load", fraction)
                log.debug("model_loading", model=self.model_id, progress=round(fraction, 2))
            case Ready():
                self._ready = report
                self._progress.report("load", 1.0)
                self._availability.wake()
            case LoadFailed(sentence=sentence, cause=cause, remedy=remedy):
                self._give_up(ModelLoadFailed(sentence, cause=cause, remedy=remedy))
        self._worker.silence.deadline = self._silence_deadline()

    def _take_step(self, step: Step) -> None:
        before = self._load
        self._load = replace(
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
        )
        self._streams.take(step)
        if (before.free_slots, before.queued) != (step.free_slots, step.queued):
            self._availability.wake()

    def _silence_deadline(self) -> float:
        if self._streams:
            return trio.current_time() + _STEP_SILENCE_S
        return math.inf if self._ready else trio.current_time() + _LOAD_SILENCE_S

    def _give_up(self, failure: ModelLoadFailed) -> None:
        log.error("model_load_failed", model=self.model_id, error=str(failure))
        self._availability.fail(failure)
        if self._worker is not None:
            self._worker.dismiss()

    def _idle_load(self, *, kv_tokens: int) -> EngineLoad:
        slots = self.settings.slots
        return EngineLoad(slots, slots, 0, 0, kv_tokens, 0.0, 0.0, 0)


def _dies_in_load(attempts: int) -> ModelLoadFailed:
    return ModelLoadFailed(
        "The engine dies when it loads this model.",
        cause=f"{attempts} attempts",
        remedy="Check that the file is complete and that it fits the memory.",
    )
