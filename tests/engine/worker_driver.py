"""A worker without an engine around it: commands in, reports out, one thread, the real process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

from peernode.chat.request import ChatRequest
from peernode.engine.frames import FrameReader, pack_frame
from peernode.engine.protocol import (
    Accepted,
    Cancel,
    Command,
    LoadFailed,
    Progress,
    Ready,
    Refused,
    Step,
    Submit,
    report_from,
    to_frame,
)
from peernode.engine.settings import EngineSettings

_PATIENCE_S = 120.0


@dataclass
class Told:
    """Everything the worker said about one job."""

    text: str = ""
    ids: list[int] = field(default_factory=list)
    chunks: int = 0
    accepted: bool = False
    end: str = ""
    refusal: str = ""
    cached: int = 0

    @property
    def over(self) -> bool:
        return bool(self.end or self.refusal)


class WorkerDriver:
    """``submit`` and ``cancel`` jobs, ``read`` what comes; ``told`` holds it by job. A context manager."""

    def __init__(self, path: Path, settings: EngineSettings) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "peernode.engine.worker", str(theirs.fileno()), str(os.getpid())],
                pass_fds=(theirs.fileno(),),
                env={**os.environ, "GGML_NO_BACKTRACE": "1"},
            )
        self._socket = ours
        self._socket.settimeout(_PATIENCE_S)
        self._reader = FrameReader()
        self._next = 0
        self.ready: Ready | None = None
        self.told: dict[int, Told] = {}
        self.last = Step(0, settings.slots, 0, 0, 0.0, 0.0, [])
        self._send(settings.load_order(path))
        while self.ready is None:
            self.read()

    def __enter__(self) -> WorkerDriver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self.process.wait(timeout=30)

    @property
    def memory(self) -> int:
        """Private bytes of the worker."""
        return int(psutil.Process(self.process.pid).memory_full_info().uss)

    def submit(self, request: ChatRequest, *, seed: int = 0, payer: str = "", earlier: Sequence[int] = ()) -> int:
        self._next += 1
        self.told[self._next] = Told()
        self._send(Submit(self._next, request.to_fields(), seed, list(earlier), payer=payer, cache_salt=payer))
        return self._next

    def cancel(self, job: int) -> None:
        self._send(Cancel(job))

    def read(self) -> None:
        """Take in what has come, waiting for it."""
        data = self._socket.recv(1 << 16)
        assert data, f"the worker has gone: {self.process.wait(timeout=30)}"
        for frame in self._reader.feed(data):
            match report_from(frame):
                case Ready() as ready:
                    self.ready = ready
                case Progress():
                    pass
                case LoadFailed() as failed:
                    raise AssertionError(failed)
                case Accepted(job=job):
                    assert not self.told[job].over or self.told[job].end
                    self.told[job].accepted = True
                case Refused(job=job, code=code):
                    assert not self.told[job].over
                    self.told[job].refusal = code
                case Step() as step:
                    self._take(step)

    def _take(self, step: Step) -> None:
        assert step.number >= self.last.number
        self.last = step
        for output in step.outputs:
            told = self.told[output.job]
            assert not told.over
            told.text += output.text
            told.ids += output.ids
            told.chunks += 1
            told.end = output.end
            if output.end:
                told.cached = output.cached_tokens
                assert output.completion_tokens == len(told.ids)

    def _send(self, command: Command) -> None:
        self._socket.sendall(pack_frame(to_frame(command)))
