"""One worker from its start to its certain end: the order to load, its reports, and how long it may be silent.

Owns what is known of this one worker. Whether there will be another is for ``runner`` to decide.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import structlog
import trio

from peernode.chat.errors import BadRequest, JobError
from peernode.chat.job import ChatJob
from peernode.engine.errors import ModelLoadFailed, NotEnoughMemory
from peernode.engine.gauge import LoadGauge
from peernode.engine.load_progress import LoadProgress
from peernode.engine.process import WorkerProcess, started_worker
from peernode.engine.protocol import Accepted, Cancel, Load, LoadFailed, Progress, Ready, Refused, Report, Step
from peernode.engine.stream_table import StreamTable
from peernode.engine.submission import submission

log = structlog.get_logger(__name__)

_LOAD_SILENCE_S = 300.0
_STEP_SILENCE_S = 120.0
_TOLD_EVERY_S = 5.0


class WorkerSession:
    """``on_news`` is called when free slots or the queue change. ``refusal`` is why it would not load the model."""

    def __init__(
        self,
        model_id: str,
        *,
        streams: StreamTable,
        gauge: LoadGauge,
        progress: LoadProgress,
        on_news: Callable[[], None],
    ) -> None:
        self.refusal: ModelLoadFailed | None = None
        self._model_id = model_id
        self._streams = streams
        self._gauge = gauge
        self._progress = progress
        self._on_news = on_news
        self._worker: WorkerProcess | None = None
        self._ready: Ready | None = None
        self._loaded = trio.Event()
        self._told_at = -math.inf

    @property
    def pid(self) -> int | None:
        return self._worker.pid if self._worker else None

    async def run(self, order: Load, beside: Callable[[], Awaitable[None]]) -> str:
        """Start a worker, have it load, and serve until it is gone; ``beside`` runs as long. Returns why it ended.

        Raises OSError when the system starts no more processes.
        """
        async with started_worker(self._model_id) as worker:
            self._worker = worker
            log.info("worker_started", model=self._model_id, worker_pid=worker.pid)
            worker.silence.deadline = trio.current_time() + _LOAD_SILENCE_S
            worker.send(order)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(beside)
                await worker.serve(self._take)
                nursery.cancel_scope.cancel()
        log.info("worker_ended", model=self._model_id, worker_pid=worker.pid, exit_code=worker.exit_code)
        return f"its worker ended with {worker.exit_code}"

    async def wait_loaded(self) -> Ready:
        """What the worker said when it had loaded the model."""
        await self._loaded.wait()
        assert self._ready is not None
        return self._ready

    def submit(self, number: int, job: ChatJob, *, share_prefixes: bool) -> JobError | None:
        """Why the job cannot even be sent, or None."""
        assert self._worker is not None
        try:
            self._worker.send_frame(submission(number, job, share_prefixes=share_prefixes))
        except BadRequest as err:
            return err
        if not self._streams:
            self._worker.silence.deadline = trio.current_time() + _STEP_SILENCE_S
        return None

    def cancel(self, number: int) -> None:
        if self._worker is not None:
            self._worker.send(Cancel(number))

    def dismiss(self) -> None:
        """Let ``run`` come to its end now."""
        if self._worker is not None:
            self._worker.dismiss()

    def _take(self, report: Report) -> None:
        """Act on one report of the worker; never waits."""
        assert self._worker is not None
        match report:
            case Step():
                news = self._gauge.take(report)
                self._streams.take(report)
                if news:
                    self._on_news()
            case Accepted():
                self._streams.accepted(report)
            case Refused():
                self._streams.refused(report)
            case Progress(fraction=fraction):
                self._progress.report("load", fraction)
                self._tell(fraction)
            case Ready():
                self._ready = report
                self._progress.report("load", 1.0)
                self._loaded.set()
            case LoadFailed():
                kind = NotEnoughMemory if report.code == NotEnoughMemory.code else ModelLoadFailed
                self.refuse(kind(report.sentence, cause=report.cause, remedy=report.remedy))
        self._worker.silence.deadline = self._silence_deadline()

    def _tell(self, fraction: float) -> None:
        """For whoever watches the log: a line every few seconds, and all of them for who wants details."""
        eta_s, now = self._progress.eta_s, trio.current_time()
        due = eta_s is not None and now - self._told_at >= _TOLD_EVERY_S
        if due:
            self._told_at = now
        (log.info if due else log.debug)(
            "model_loading",
            model=self._model_id,
            progress=round(fraction, 2),
            eta_s=None if eta_s is None else round(eta_s, 1),
        )

    def refuse(self, failure: ModelLoadFailed) -> None:
        """The worker must not serve; ``run`` ends and ``refusal`` says why."""
        self.refusal = failure
        self.dismiss()

    def _silence_deadline(self) -> float:
        if self._streams:
            return trio.current_time() + _STEP_SILENCE_S
        return math.inf if self._ready else trio.current_time() + _LOAD_SILENCE_S
