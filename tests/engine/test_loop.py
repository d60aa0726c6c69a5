"""The loop over a real socket and a scripted backend: cancellation by step numbers, and the end with the owner."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest

from peernode.chat.errors import ContextTooLong
from peernode.chat.request import ChatRequest, Message
from peernode.engine.frames import FrameReader, pack_frame
from peernode.engine.protocol import Accepted, Cancel, Refused, Report, Step, Submit, report_from, to_frame
from peernode.engine.worker.loop import REPORT_S, Channel, Loop, OwnerGone
from peernode.engine.worker.preparation import Workshop
from peernode.engine.worker.sequence import Sequence
from tests.engine.scripted import ScriptedBackend, batcher_of, sequence


class ScriptedIntake:
    def admit(self, job: Submit) -> Sequence:
        limit = ChatRequest.from_fields(job.request).max_tokens or 0
        if limit > 100:
            raise ContextTooLong("Too long.")
        return sequence(job.job, limit=limit)


class Owner:
    """The other end of the worker's socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._reader = FrameReader()

    def submit(self, job: int, *, max_tokens: int = 50) -> None:
        request = ChatRequest((Message("user", ""),), max_tokens)
        self.socket.sendall(pack_frame(to_frame(Submit(job, request.to_fields(), 0, []))))

    def cancel(self, job: int) -> None:
        self.socket.sendall(pack_frame(to_frame(Cancel(job))))

    def reports(self) -> list[Report]:
        return [report_from(frame) for frame in self._reader.feed(self.socket.recv(1 << 16))]


@pytest.fixture
def ends() -> Iterator[tuple[Owner, Channel]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Owner(ours), Channel(theirs)


def test_a_cancellation_that_comes_during_a_step_takes_effect_before_the_next(ends: tuple[Owner, Channel]) -> None:
    owner, channel = ends
    backend = ScriptedBackend(before_decode=lambda step: owner.cancel(1) if step == 3 else None)
    seconds = itertools.count()
    loop = Loop(channel, batcher_of(backend), ScriptedIntake(), Workshop(limit=4), clock=lambda: float(next(seconds)))
    owner.submit(1)
    owner.submit(2)
    for _ in range(4):
        loop.turn()
    steps = [report for report in owner.reports() if isinstance(report, Step)]
    of_one = [(step.number, output) for step in steps for output in step.outputs if output.job == 1]
    assert [number for number, output in of_one if output.ids] == [1, 2, 3]
    assert [(number, output.end) for number, output in of_one if output.end] == [(3, "cancelled")]
    assert [chunk.slot for chunk in backend.batches[3]] == [1]
    assert of_one[-1][1].completion_tokens == 3


def test_tokens_travel_together_but_for_the_first_and_the_last(ends: tuple[Owner, Channel]) -> None:
    owner, channel = ends
    now = 0.0
    loop = Loop(channel, batcher_of(ScriptedBackend()), ScriptedIntake(), Workshop(limit=4), clock=lambda: now)
    owner.submit(1, max_tokens=9)
    owner.submit(2, max_tokens=9)
    for step in range(9):
        now += REPORT_S if step == 4 else 0.0
        loop.turn()
    steps = [report for report in owner.reports() if isinstance(report, Step)]
    assert [step.number for step in steps] == [1, 4, 9]
    for job in (1, 2):
        outputs = [output for step in steps for output in step.outputs if output.job == job]
        assert [len(output.ids) for output in outputs] == [1, 3, 5]
        assert [len(output.text) for output in outputs] == [1, 3, 5]
        assert [output.end for output in outputs] == ["", "", "length"]


def test_one_step_makes_one_report_for_all(ends: tuple[Owner, Channel]) -> None:
    owner, channel = ends
    loop = Loop(channel, batcher_of(ScriptedBackend()), ScriptedIntake(), Workshop(limit=4))
    owner.submit(1)
    owner.submit(2)
    loop.turn()
    accepted_1, accepted_2, step = owner.reports()
    assert (accepted_1, accepted_2) == (Accepted(1, 3), Accepted(2, 3))
    assert isinstance(step, Step)
    assert [output.job for output in step.outputs] == [1, 2]


def test_a_job_that_cannot_be_is_refused_with_its_code(ends: tuple[Owner, Channel]) -> None:
    owner, channel = ends
    loop = Loop(channel, batcher_of(ScriptedBackend(), slots=1, queue=0), ScriptedIntake(), Workshop(limit=4))
    owner.submit(1, max_tokens=101)
    owner.submit(2)
    owner.submit(3)
    loop.turn()
    refused = [(report.job, report.code) for report in owner.reports() if isinstance(report, Refused)]
    assert refused == [(1, "context_length_exceeded"), (3, "busy")]


def test_the_loop_ends_with_its_owner_even_while_it_works(ends: tuple[Owner, Channel]) -> None:
    owner, channel = ends
    loop = Loop(channel, batcher_of(ScriptedBackend()), ScriptedIntake(), Workshop(limit=4))
    owner.submit(1)
    loop.turn()
    owner.socket.close()
    with pytest.raises(OwnerGone):
        loop.run()


def test_the_loop_ends_with_its_owner_while_it_waits(ends: tuple[Owner, Channel]) -> None:
    owner, channel = ends
    owner.socket.close()
    with pytest.raises(OwnerGone):
        Loop(channel, batcher_of(ScriptedBackend()), ScriptedIntake(), Workshop(limit=4)).run()
