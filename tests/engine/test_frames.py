"""Frames survive any cutting, and bytes that are no frame are a typed error."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.chat.message import Image
from peernode.chat.request import ChatRequest, Message
from peernode.chat.sampling import Sampling
from peernode.engine.errors import WorkerProtocolBroken
from peernode.engine.frames import FrameReader, pack_frame
from peernode.engine.protocol import (
    Accepted,
    Cancel,
    Load,
    LoadFailed,
    Output,
    Progress,
    Ready,
    Refused,
    Step,
    Submit,
    command_from,
    report_from,
    to_frame,
)
from peernode.engine.worker.sampler import SAMPLER_VERSION
from peernode.wire.logprobs import Logprobs, TokenLogprob

LOGPROBS = Logprobs(TokenLogprob(5, -20, b"h\xc3"), (TokenLogprob(5, -20, b"h\xc3"), TokenLogprob(7, -9_999, b"")))
PICTURED = ChatRequest(
    (Message("user", "hi", images=(Image(2, b"\x89PNG"),)),), stop=("END",), sampling=Sampling.of(logit_bias={5: -1.5})
)
COMMANDS = [
    Load("/m.gguf", 8, 4096, 0, 512, 0, -1, 32, 1024),
    Submit(3, PICTURED.to_fields(), 2**63 - 1, [1, 2], "payer", "salt"),
    Cancel(3),
]
REPORTS = [
    Progress(0.5),
    Ready("llama", 1, "Q4_1", 2048, 8192, bytes(32), SAMPLER_VERSION, 2, ["a note"]),
    LoadFailed("It failed.", "why", "what now"),
    Accepted(3, 17, "hermes"),
    Refused(3, "busy", "Full.", "", ""),
    Step(9, 7, 0, 120, 31.5, 0.0, [Output(3, "hé", [5], logprobs=[LOGPROBS]), Output(4, "", [], "stop", 17, 2)]),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda message: message.tag)
def test_every_command_survives_the_wire(command: Load | Submit | Cancel) -> None:
    (frame,) = FrameReader().feed(pack_frame(to_frame(command)))
    assert command_from(frame) == command


@pytest.mark.parametrize("report", REPORTS, ids=lambda message: message.tag)
def test_every_report_survives_the_wire(report: Step) -> None:
    (frame,) = FrameReader().feed(pack_frame(to_frame(report)))
    assert report_from(frame) == report


@given(st.lists(st.integers(1, 40), max_size=30))
def test_frames_may_come_in_any_pieces(sizes: list[int]) -> None:
    raw = b"".join(pack_frame(to_frame(report)) for report in REPORTS)
    reader = FrameReader()
    frames = []
    for size in [*sizes, len(raw)]:
        frames += reader.feed(raw[:size])
        raw = raw[size:]
    assert [report_from(frame) for frame in frames] == REPORTS


@given(st.binary(max_size=60))
def test_noise_is_a_typed_error_or_no_frame(raw: bytes) -> None:
    with contextlib.suppress(WorkerProtocolBroken):
        for frame in FrameReader().feed(len(raw).to_bytes(4, "big") + raw):
            report_from(frame)


@given(st.sampled_from(REPORTS), st.data())
def test_a_field_of_the_wrong_type_is_refused(report: Step, data: st.DataObject) -> None:
    frame = to_frame(report)
    at = data.draw(st.integers(1, len(frame) - 1))
    frame[at] = {}
    with pytest.raises(WorkerProtocolBroken):
        report_from(frame)


def test_an_announced_length_is_checked_before_it_is_believed() -> None:
    with pytest.raises(WorkerProtocolBroken):
        FrameReader().feed(b"\xff\xff\xff\xff")
