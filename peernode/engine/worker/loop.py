"""The worker's one loop: take every command that has come, make one decode step, report it, again.

Blocks on the socket while nothing runs and only looks at it while something does, so that a cancellation takes
effect before the next step. Ends with the socket.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Protocol

from peernode.chat.errors import BadRequest, JobError, ProviderBusy
from peernode.engine.errors import WorkerProtocolBroken
from peernode.engine.frames import FrameReader, pack_frame
from peernode.engine.protocol import Accepted, Cancel, Command, Refused, Report, Submit, command_from, to_frame
from peernode.engine.worker.batcher import Batcher
from peernode.engine.worker.sequence import Sequence

_READ = 1 << 16


class Admission(Protocol):
    """What the loop needs of ``Intake``."""

    def admit(self, job: Submit) -> Sequence:
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

    def __init__(self, channel: Channel, batcher: Batcher, intake: Admission) -> None:
        self._channel = channel
        self._batcher = batcher
        self._intake = intake

    def run(self) -> None:
        """Raises OwnerGone."""
        while True:
            self.turn()

    def turn(self) -> None:
        command = self._channel.poll() if self._batcher.busy else self._channel.receive()
        while command is not None:
            self._obey(command)
            command = self._channel.poll()
        self._report()  # what was cancelled is free now, not after the next step
        if self._batcher.busy:
            self._batcher.step()
            self._report()

    def _report(self) -> None:
        report = self._batcher.report()
        if report is not None:
            self._channel.send(report)

    def _obey(self, command: Command) -> None:
        match command:
            case Submit():
                self._submit(command)
            case Cancel(job=job):
                self._batcher.cancel(job)
            case _:
                raise WorkerProtocolBroken("A model is loaded only once.")

    def _submit(self, command: Submit) -> None:
        try:
            sequence = self._intake.admit(command)
            if not self._batcher.submit(sequence):
                raise ProviderBusy("The queue of this model is full.", remedy="Try again later.")
        except JobError as err:
            param = err.param or "" if isinstance(err, BadRequest) else ""
            self._channel.send(Refused(command.job, err.code, err.sentence, err.cause, err.remedy, param))
        else:
            self._channel.send(Accepted(command.job, len(sequence.prompt)))
