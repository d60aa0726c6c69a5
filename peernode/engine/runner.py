"""One model behind the ``JobRunner`` interface: a supervised worker process and the jobs in it.

Owns the worker's life: when it starts (at once, or with the first job), readiness, restart with backoff, unloading,
certain end. Leaves batching and sampling to the worker, prices and deadlines to the market.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import trio

from peernode.chat.errors import JobError, ProviderBusy, ProviderFailed
from peernode.chat.job import ChatJob
from peernode.engine.availability import Availability, EngineState
from peernode.engine.backoff import Backoff
from peernode.engine.digest_cache import DigestCache
from peernode.engine.errors import ModelLoadFailed, NotEnoughMemory
from peernode.engine.facts import EngineLoad, ModelFacts
from peernode.engine.gauge import LoadGauge
from peernode.engine.load_progress import LoadProgress
from peernode.engine.load_times import LoadTimes
from peernode.engine.memory_budget import MemoryBudget, Room
from peernode.engine.model_file import ModelFile
from peernode.engine.outlook import foreseen_facts, needed_bytes
from peernode.engine.placement import Placement
from peernode.engine.protocol import Ready
from peernode.engine.session import WorkerSession
from peernode.engine.settings import EngineSettings
from peernode.engine.stream import EngineStream

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the installed stubs are older than trio.TaskStatus

log = structlog.get_logger(__name__)

# A file that kills the worker while it loads will most likely do so again.
_LOAD_DEATHS = 3
# A load that takes longer than expected, and does not tell how far it is, is over soon all the same.
_SOON_S = 1.0


class Engine:
    """Implements ``JobRunner`` and ``memory_budget.Tenant``. ``run`` must run for ``open`` to have somebody to ask.

    ``state`` goes loading → ready ⇄ restarting, or to failed (then ``failure`` says why), and last to stopped. A lazy
    engine is unloaded whenever nobody needs it, and takes jobs all the same.
    """

    def __init__(
        self,
        model_id: str,
        path: Path,
        settings: EngineSettings | None = None,
        *,
        budget: MemoryBudget | None = None,
        digests: DigestCache | None = None,
        load_times: LoadTimes | None = None,
        clock: Callable[[], float] = trio.current_time,
        rng: random.Random | None = None,
    ) -> None:
        self.model_id = model_id
        self.settings = settings or EngineSettings()
        self.facts: ModelFacts | None = None
        self.last_used = -math.inf
        self._budget = budget or MemoryBudget()
        self._availability = Availability()
        self._load_times = load_times or LoadTimes()
        self._load_began = -math.inf
        self._file = ModelFile(path, digests, adapters=self.settings.lora)
        self._progress = LoadProgress(clock)
        self._clock = clock
        self._backoff = Backoff(rng or random.Random())
        self._session: WorkerSession | None = None
        self._ready_at: float | None = None
        self._was_ready = False
        self._unloading = False
        self._jobs = Placement(
            model_id,
            self.settings,
            unavailable=self._unavailable,
            on_use=self._note_use,
            on_nobody=self._budget.wake,
        )
        self._gauge = LoadGauge(self.settings.slots)

    def load(self) -> EngineLoad:
        """The latest snapshot."""
        load = self._gauge.load
        return load if self.state == "ready" else replace(load, load_s=self._load_s())

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
    def worker_pid(self) -> int | None:
        return self._session.pid if self._session else None

    @property
    def load_progress(self) -> float | None:
        """The fraction done while the model loads, else None."""
        return self._progress.fraction

    @property
    def load_eta_s(self) -> float | None:
        """Seconds until the model is loaded, once there is a pace to tell it from."""
        return self._progress.eta_s

    @property
    def takes_jobs(self) -> bool:
        """Whether a job that is opened now runs, perhaps after a load."""
        if self.facts is None:
            return False
        return self.state == "ready" or (self.settings.lazy and self.state in {"unloaded", "loading", "restarting"})

    @property
    def waiting(self) -> int:
        """Jobs that wait for the model to be loaded."""
        return len(self._jobs.waiting)

    @property
    def evictable(self) -> bool:
        return self.settings.lazy and self.state == "ready"

    @property
    def idle(self) -> bool:
        return self._jobs.idle

    @property
    def wanted(self) -> bool:
        return not self.settings.lazy or len(self._jobs.waiting) > 0

    async def wait_change(self, since: int) -> int:
        """Wait until ``version`` is not ``since``; returns it."""
        return await self._availability.wait_change(since)

    async def wait_ready(self) -> None:
        """Raises ModelLoadFailed or EngineStopped when it will not come to that."""
        await self._availability.wait_ready()

    def open(self, job: ChatJob) -> AbstractAsyncContextManager[EngineStream]:
        """Run a job; leaving the context cancels it. Everything that goes wrong is a ``Failed`` event."""
        return self._jobs.open(job)

    def unload(self) -> None:
        """End the worker; jobs that come from now on wait for the next one."""
        if self._session is not None:
            self._unloading = True
            self._jobs.ready = None
            self._availability.enter("unloaded")
            self._session.dismiss()

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a worker alive until cancelled, or until the model turns out not to be loadable."""
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._jobs.waiting.expire)
                await self._live()
                nursery.cancel_scope.cancel()
        finally:
            if self.failure is None:
                self._availability.enter("stopped")
            self._jobs.waiting.fail_all(ProviderBusy("The model is not available here.", cause=self.state))

    async def _live(self) -> None:
        """Worker after worker; returns when there is no use in another."""
        if self.settings.lazy:
            await self._introduce()
        deaths_in_load = 0
        while self.failure is None:
            if self.settings.lazy:
                self._availability.enter("unloaded")
                await self._jobs.waiting.wait_any()
                self._availability.enter("loading")
            self._ready_at, self._unloading = None, False
            refusal = await self._run_worker()
            if isinstance(refusal, NotEnoughMemory) and await self._make_do(refusal):
                continue
            if refusal is not None:
                self._give_up(refusal)
            elif not self._unloading and (self._ready_at is not None or self.wanted):
                deaths_in_load = deaths_in_load + 1 if self._ready_at is None else 0
                if deaths_in_load >= _LOAD_DEATHS:
                    self._despair(deaths_in_load)
                if self.failure is None:
                    await self._pause()

    async def _introduce(self) -> None:
        """Learn what can be known of a model without loading it, so that it can be offered."""
        try:
            header = await self._file.inspect()
            digest, size = await self._file.digest(lambda fraction: self._progress.report("hash", fraction))
        except ModelLoadFailed as err:
            self._give_up(err)
            return
        self._progress.reset()
        self.facts = foreseen_facts(self.model_id, self._file.path, header, self.settings, digest=digest, size=size)
        log.info("model_offered", model=self.model_id, digest=digest.hex(), quantization=self.facts.quantization)

    async def _run_worker(self) -> ModelLoadFailed | None:
        """One worker from its start to its certain end; its jobs end with it. Returns why it refused the model."""
        cause = "it was stopped"
        try:
            header = await self._file.inspect()
            need = needed_bytes(header, self.settings, adapters=self._file.adapter_bytes)
            async with self._budget.room_for(self, need) as room:
                if room is None:
                    return None
                cause = await self._serve(room)
                return self._session.refusal if self._session else None
        except ModelLoadFailed as err:
            return err
        except OSError as err:
            cause = err.strerror or type(err).__name__
            log.error("worker_not_started", model=self.model_id, error=cause)
            return None
        finally:
            self._session = self._jobs.ready = None
            self._progress.reset()
            if self.state == "ready":
                self._availability.enter("restarting")
            self._gauge.rest(kv_tokens=self._gauge.load.kv_tokens)
            self._jobs.streams.end_all(lambda stream: stream.crash(cause))
            self._availability.wake()

    async def _serve(self, room: Room) -> str:
        self._progress.begin("load")
        self._load_began = self._clock()
        self._session = session = WorkerSession(
            self.model_id,
            streams=self._jobs.streams,
            gauge=self._gauge,
            progress=self._progress,
            on_news=self._availability.wake,
        )
        order = self.settings.load_order(self._file.path, memory=room.available)
        return await session.run(order, lambda: self._accompany(session, room))

    async def _accompany(self, session: WorkerSession, room: Room) -> None:
        """Hash the file while the worker loads it; the engine is ready when both are done."""
        try:
            await self._file.digest(lambda fraction: self._progress.report("hash", fraction))
            ready = await session.wait_loaded()
            room.settle(ready.memory_bytes, ready.mapped_bytes)
            # Again, now that the worker has read the file, too: what it has loaded must be what was hashed.
            digest, size = await self._file.digest()
        except ModelLoadFailed as err:
            session.refuse(err)
            return
        self.facts = ModelFacts.found(self.model_id, self._file.path, ready, digest=digest, size=size)
        took_s = self._clock() - self._load_began
        await trio.to_thread.run_sync(self._load_times.took, self._file.path, size, took_s)
        self._jobs.ready = session
        self._become_ready(ready)
        if self.settings.lazy:
            await self._unload_when_idle()

    def _become_ready(self, ready: Ready) -> None:
        self._progress.reset()
        self._was_ready = True
        self._ready_at = self.last_used = self._clock()
        self._gauge.rest(kv_tokens=ready.kv_tokens)
        self._availability.enter("ready")
        for note in ready.notes:
            log.warning("model_note", model=self.model_id, note=note)
        assert self.facts is not None
        log.info(
            "model_ready",
            model=self.model_id,
            digest=self.facts.digest.hex(),
            quantization=self.facts.quantization,
            context=self.facts.context_length,
            threads=ready.threads,
        )
        self._jobs.hand_over()

    async def _unload_when_idle(self) -> None:
        limit_s = math.inf if self.settings.idle_timeout_s is None else self.settings.idle_timeout_s
        while True:
            await self._jobs.streams.wait_idle()
            with trio.move_on_after(limit_s) as rest:
                await self._jobs.streams.wait_busy()
            if rest.cancelled_caught:
                log.info("model_unloaded", model=self.model_id, idle_s=limit_s)
                self.unload()
                return

    async def _make_do(self, refusal: NotEnoughMemory) -> bool:
        """Whether there is use in trying again: others gave way, or a lazy model can wait for better times."""
        if await self._budget.evict_and_wait(self):
            return True
        if not self.settings.lazy:
            return False
        log.warning("model_not_loaded", model=self.model_id, error=str(refusal))
        self._jobs.waiting.fail_all(
            ProviderBusy("There is no memory for the model now.", cause=refusal.cause, remedy="Try again later.")
        )
        return True

    def _despair(self, deaths: int) -> None:
        """A model that was loaded before may be again, another time; one that never was will not be."""
        failure = _dies_in_load(deaths)
        if not self._was_ready:
            self._give_up(failure)
        elif self.settings.lazy:
            self._jobs.waiting.fail_all(ProviderFailed(failure.sentence, cause=failure.cause))

    async def _pause(self) -> None:
        """Wait before the next worker, longer after each that did not last."""
        uptime_s = 0.0 if self._ready_at is None else self._clock() - self._ready_at
        delay_s = self._backoff.delay_after(uptime_s)
        self._availability.enter("restarting" if self._was_ready else "loading")
        log.warning("worker_restarts", model=self.model_id, delay_s=round(delay_s, 2))
        await trio.sleep(delay_s)

    def _load_s(self) -> float:
        """How long until the model is loaded, if a job came now; by what is seen of the load, or loads before it."""
        if self.facts is None:
            return 0.0
        if self.load_eta_s is not None:
            return max(self.load_eta_s, _SOON_S)
        expected_s = self._load_times.expected_s(self._file.path, self.facts.size_bytes)
        if self.state != "loading":
            return expected_s
        return max(expected_s - (self._clock() - self._load_began), _SOON_S)

    def _unavailable(self) -> JobError | None:
        if self.takes_jobs:
            return None
        if self.failure is not None:
            return ProviderFailed("The model is not available here.", cause=self.failure.code)
        return ProviderBusy("The model is not ready here.", cause=self.state, remedy="Try again shortly.")

    def _note_use(self) -> None:
        self.last_used = self._clock()
        self._budget.wake()

    def _give_up(self, failure: ModelLoadFailed) -> None:
        log.error("model_load_failed", model=self.model_id, error=str(failure))
        self._availability.fail(failure)
        self._jobs.waiting.fail_all(ProviderFailed("The model is not available here.", cause=failure.code))


def _dies_in_load(attempts: int) -> ModelLoadFailed:
    return ModelLoadFailed(
        "The engine dies when it loads this model.",
        cause=f"{attempts} attempts",
        remedy="Check that the file is complete and that it fits the memory.",
    )
