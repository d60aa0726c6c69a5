"""The worker's one loop: take every command that has come, make one decode step, report it, again.

Blocks on the socket while nothing runs and only looks at it while something does, so that a cancellation takes
effect before the next step. Ends with the socket.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from peernode.chat.errors import BadRequest, JobError, ProviderBusy
from peernode.engine.errors import WorkerProtocolBroken
from peernode.engine.frames import FrameReader, pack_frame
from peernode.engine.protocol import Accepted, Cancel, Command, Refused, Report, Submit, command_from, to_frame
from peernode.engine.worker.batcher import Batcher
from peernode.engine.worker.preparation import Preparation, Workshop
from peernode.engine.worker.sequence import Sequence

_READ = 1 << 16
# Tokens of running answers wait so long for company: 50 pieces a second look smooth.
REPORT_S = 0.018


class Admission(Protocol):
    """What the loop needs of ``Intake``."""

    def admit(self, job: Submit) -> Sequence | Preparation:
        """Raises JobError."""
        ...


class OwnerGone(Exception):
    """The other end of the socket is closed: nobody wants this worker any more."""


class Channel:
    """The worker's end of the socket: whole commands in, whole reports out."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._frames = FrameReader()
        self._pending: deque[Command] = deque()

    def send(self, report: Report) -> None:
        """Raises OwnerGone."""
        try:
            self._socket.sendall(pack_frame(to_frame(report)))
        except (BrokenPipeError, ConnectionResetError) as err:
            raise OwnerGone from err

    def receive(self) -> Command:
        """The next command, awaited. Raises OwnerGone."""
        while not self._pending:
            self._read(0)
        return self._pending.popleft()

    def poll(self) -> Command | None:
        """The next command that has already come. Raises OwnerGone."""
        if not self._pending:
            try:
                self._read(socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
        return self._pending.popleft() if self._pending else None

    def wait(self, descriptor: int) -> None:
        """Return when a command, the owner's end, or something on ``descriptor`` has come."""
        if not self._pending:
            select.select([self._socket.fileno(), descriptor], [], [])

    def has_news(self, descriptor: int) -> bool:
        """Whether ``wait`` would return at once."""
        return bool(self._pending or select.select([self._socket.fileno(), descriptor], [], [], 0)[0])

    def is_closed(self) -> bool:
        """Whether the owner has gone, without taking anything that it sent before."""
        try:
            return self._socket.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def _read(self, flags: int) -> None:
        try:
            data = self._socket.recv(_READ, flags)
        except ConnectionResetError as err:
            raise OwnerGone from err
        if not data:
            raise OwnerGone
        self._pending.extend(command_from(frame) for frame in self._frames.feed(data))


class Loop:
    """``turn`` takes commands and makes at most one step; ``run`` turns until the owner has gone."""

    def __init__(
        self,
        channel: Channel,
        batcher: Batcher,
        intake: Admission,
        workshop: Workshop,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._channel = channel
        self._batcher = batcher
        self._intake = intake
        self._workshop = workshop
        self._clock = clock
        self._reported_at = clock()

    def run(self) -> None:
        """Raises OwnerGone."""
        try:
            while True:
                self.turn()
        finally:
            self._workshop.close()

    def turn(self) -> None:
        if not self._batcher.busy:
            while not self._channel.has_news(self._workshop.descriptor) and self._batcher.tidy():
                pass
            self._report()
            self._channel.wait(self._workshop.descriptor)
        while (command := self._channel.poll()) is not None:
            self._obey(command)
        for job, finish in self._workshop.collect():
            self._start(job, finish)
        self._report_if_due()  # what was cancelled is free now, not after the next step
        if self._batcher.busy:
            self._batcher.step()
            self._report_if_due()

    def _report_if_due(self) -> None:
        """First tokens and ends at once, the rest together: each report costs its reader time on the same cores."""
        if self._batcher.urgent or not self._batcher.busy or self._clock() - self._reported_at >= REPORT_S:
            self._report()

    def _report(self) -> None:
        began = self._reported_at = self._clock()
        report = self._batcher.report()
        if report is not None:
            self._channel.send(report)
            self._batcher.profile.emit += self._clock() - began

    def _obey(self, command: Command) -> None:
        match command:
            case Submit():
                self._submit(command)
            case Cancel(job=job):
                if self._workshop.drop(job):
                    self._batcher.end_unstarted(job)
                else:
                    self._batcher.cancel(job)
            case _:
                raise WorkerProtocolBroken("A model is loaded only once.")

    def _submit(self, command: Submit) -> None:
        try:
            admitted = self._intake.admit(command)
        except JobError as err:
            self._refuse(command.job, err)
            return
        if isinstance(admitted, Sequence):
            self._start(command.job, lambda: admitted)
        elif not self._workshop.begin(command.job, admitted):
            self._refuse(command.job, _queue_is_full())

    def _start(self, job: int, finish: Callable[[], Sequence]) -> None:
        try:
            sequence = finish()
            if not self._batcher.submit(sequence):
                raise _queue_is_full()
        except JobError as err:
            self._refuse(job, err)
        else:
            self._channel.send(Accepted(job, len(sequence.prompt), sequence.markup))

    def _refuse(self, job: int, err: JobError) -> None:
        param = err.param or "" if isinstance(err, BadRequest) else ""
        self._channel.send(Refused(job, err.code, err.sentence, err.cause, err.remedy, param))


def _queue_is_full() -> ProviderBusy:
    return ProviderBusy("The queue of this model is full.", remedy="Try again later.")
