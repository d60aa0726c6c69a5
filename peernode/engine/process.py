"""The worker as a child process: its start, the frames in both directions, its log, and its certain end.

Owns the socket pair, the pipes and the process id. What the reports mean is the business of ``runner``.
"""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
import trio

from peernode.engine.errors import WorkerProtocolBroken
from peernode.engine.frames import FrameReader, pack_frame
from peernode.engine.protocol import Command, Report, report_from, to_frame

log = structlog.get_logger(__name__)

_READ = 1 << 16
_LOG_LINE = 2000
_GRACE_S = 1.0


class WorkerProcess:
    """A started worker. ``send`` never waits; ``serve`` carries frames until the worker's end of the socket closes."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], sock: trio.socket.SocketType) -> None:
        self._log = log.bind(model=name, worker_pid=process.pid)
        self._process = process
        self._socket = trio.SocketStream(sock)
        self._frames = FrameReader()
        # Bounded by the queue limit in practice: each job sends one submission and at most one cancellation.
        self._outgoing, self._to_send = trio.open_memory_channel[bytes](math.inf)
        self.silence = trio.CancelScope()
        self._dismissed = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Known once the worker is collected; negative is the signal that ended it."""
        return self._process.returncode

    def send(self, command: Command) -> None:
        self.send_frame(pack_frame(to_frame(command)))

    def send_frame(self, frame: bytes) -> None:
        """A command that is packed already."""
        self._outgoing.send_nowait(frame)

    def dismiss(self) -> None:
        """Let ``serve`` return now."""
        self._dismissed = True
        self.silence.cancel()

    async def serve(self, on_report: Callable[[Report], None]) -> None:
        """Hand over every report until the worker is gone, silent beyond ``silence``'s deadline, or incoherent."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write)
            nursery.start_soon(self._read_log)
            with self.silence:
                await self._read(on_report)
            if self.silence.cancelled_caught and not self._dismissed:
                self._log.error("worker_silent")
            nursery.cancel_scope.cancel()

    async def _read(self, on_report: Callable[[Report], None]) -> None:
        try:
            while data := await self._socket.receive_some(_READ):
                for frame in self._frames.feed(data):
                    on_report(report_from(frame))
        except trio.BrokenResourceError:
            return  # the worker died with something unread in its socket
        except WorkerProtocolBroken as err:
            self._log.error("worker_incoherent", error=str(err))

    async def _write(self) -> None:
        try:
            async for frame in self._to_send:
                await self._socket.send_all(frame)
        except trio.BrokenResourceError:
            return  # the reader sees the end, too, and acts on it

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        stream = trio.lowlevel.FdStream(os.dup(self._process.stderr.fileno()))
        rest = b""
        async with stream:
            while data := await stream.receive_some(_READ):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._log.debug("worker_log", line=line[:_LOG_LINE].decode("utf-8", "replace"))
                rest = rest[:_LOG_LINE]

    async def end(self) -> None:
        """Close the socket, then ask, then kill; returns when the process is collected."""
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(self._socket)
            for ask in (None, self._process.terminate, self._process.kill):
                if ask is not None:
                    ask()
                with trio.move_on_after(_GRACE_S if ask != self._process.kill else math.inf):
                    # The installed stubs (trio-typing) are older than trio.
                    await trio.to_thread.run_sync(self._process.wait, abandon_on_cancel=True)  # type: ignore[call-arg]
                if self._process.returncode is not None:
                    break
            if self._process.stderr is not None:
                self._process.stderr.close()


def _environment() -> dict[str, str]:
    """Ours, without the node's own settings: what native code cannot read it cannot give away."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PEERNODE_")}
    return {**kept, "GGML_NO_BACKTRACE": "1"}


@asynccontextmanager
async def started_worker(name: str) -> AsyncIterator[WorkerProcess]:
    """A worker for as long as the context lasts. Raises OSError when the system starts no more processes."""
    ours, theirs = socket.socketpair()
    with theirs:
        # Popen is called from this very thread: a worker's parent-death signal comes when the *thread* that
        # started it ends, and trio's own open_process starts children from a thread of its pool.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "peernode.engine.worker", str(theirs.fileno()), str(os.getpid())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(),
        )
    worker = WorkerProcess(name, process, trio.socket.from_stdlib_socket(ours))
    try:
        yield worker
    finally:
        await worker.end()
