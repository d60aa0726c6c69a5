"""Frames read back as they were; the conversation lets each come only in its turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.wire import canonical
from peernode.wire.canonical import Value
from peernode.wire.conversation import Conversation, OutOfTurn, Speaker, State
from peernode.wire.errors import BadSchema, WireError
from peernode.wire.job_frames import (
    MAX_TOKENS_PER_FRAME,
    AcceptFrame,
    AckFrame,
    BusyFrame,
    CancelFrame,
    CountersignFrame,
    EndFrame,
    ErrorFrame,
    FinishedFrame,
    JobFrame,
    OfferFrame,
    PrefillFrame,
    ReceiptFrame,
    TokensFrame,
    WaitFrame,
    _read_frame,
    decode_frame,
    encode_frame,
)
from peernode.wire.logprobs import LEAST_MICRO, Logprobs, TokenLogprob

LOGPROBS = (
    Logprobs(TokenLogprob(1, -5, b"a"), (TokenLogprob(1, -5, b"a"), TokenLogprob(9, LEAST_MICRO, b"\xe2"))),
    Logprobs(TokenLogprob(2, 0, b"")),
)
FRAMES: list[tuple[Speaker, JobFrame]] = [
    ("coordinator", OfferFrame(b"offer")),
    ("provider", WaitFrame("loading", 4000)),
    ("provider", WaitFrame("loading", 3000)),
    ("provider", AcceptFrame("tiny", "hermes+think")),
    ("provider", WaitFrame("queued", 100)),
    ("provider", PrefillFrame(5, 0)),
    ("provider", TokensFrame((1, 2), "ab")),
    ("coordinator", AckFrame(b"acknowledgement")),
    ("provider", FinishedFrame("stop", 5, 0, 2)),
    ("provider", ReceiptFrame(b"receipt")),
    ("coordinator", CountersignFrame(b"countersignature")),
    ("provider", EndFrame()),
]
OTHERS: list[tuple[Speaker, JobFrame]] = [
    ("provider", BusyFrame("full", 0, 3)),
    ("provider", BusyFrame("full", 0, 3, 4000)),
    ("provider", WaitFrame("queued", 0)),
    ("coordinator", CancelFrame()),
    ("provider", TokensFrame((1, 2), "ab", LOGPROBS)),
    ("provider", ErrorFrame("engine_crashed", "The engine died.")),
    ("coordinator", ErrorFrame("receipt_refused", "No.")),
    ("provider", ErrorFrame("bad_request", "No such thing.", "tools", "because")),
]


@pytest.mark.parametrize("frame", [frame for _, frame in FRAMES + OTHERS])
def test_frames_read_back_as_they_were(frame: JobFrame) -> None:
    assert decode_frame(encode_frame(frame)) == frame


@pytest.mark.parametrize(
    "logprobs",
    [
        [[[1, 5, b"a"], []]],  # a probability above one
        [[[1, -(10**10), b"a"], []]],
        [[[1, -5, b"a"], [[1, -5, b"a"]] * 21]],
        [[[1, -5, b"a" * 5000], []]],
        [[[3, -5, b"a"], []]],  # of another token
        [[[1, -5, b"a"], []]] * 2,
        [[1, -5, b"a"]],
        [[[1, -5], []]],
        None,
    ],
)
def test_log_probabilities_out_of_range_are_refused(logprobs: Value) -> None:
    assert decode_frame(canonical.encode([4, [1], "a", [[[1, -5, b"a"], []]]]))
    with pytest.raises(BadSchema):
        decode_frame(canonical.encode([4, [1], "a", logprobs]))


@given(
    st.tuples(
        st.just(4) | st.integers(),
        st.lists(st.integers(-5, 5) | st.integers() | st.booleans() | st.text(max_size=2) | st.none(), max_size=4)
        | st.none()
        | st.text(max_size=3),
        st.text() | st.binary(max_size=3) | st.integers(),
        st.just([]) | st.lists(st.integers(0, 3), max_size=2) | st.none() | st.text(max_size=1) | st.just(b""),
    )
)
def test_tokens_are_taken_and_refused_in_few_steps_as_in_many(fields: tuple[Value, ...]) -> None:
    def outcome(read: Callable[[], JobFrame]) -> JobFrame | str:
        try:
            return read()
        except WireError as err:
            return f"{type(err).__name__}: {err}"

    try:
        raw = canonical.encode(list(fields))
    except WireError:
        return
    assert outcome(lambda: decode_frame(raw)) == outcome(lambda: _read_frame(canonical.decode(raw)))


def test_more_tokens_than_a_frame_holds_are_refused() -> None:
    assert decode_frame(canonical.encode([4, [7] * MAX_TOKENS_PER_FRAME, "", []]))
    with pytest.raises(BadSchema):
        decode_frame(canonical.encode([4, [7] * (MAX_TOKENS_PER_FRAME + 1), "", []]))


@given(st.binary(max_size=100))
def test_garbage_is_refused_with_a_typed_error(raw: bytes) -> None:
    try:
        frame = decode_frame(raw)
    except WireError:
        return
    assert encode_frame(frame) == raw


def test_the_whole_conversation_is_in_turn() -> None:
    talk = Conversation()
    for speaker, frame in FRAMES:
        talk.observe(speaker, frame)
    assert talk.state is State.ENDED


@given(st.lists(st.sampled_from(FRAMES + OTHERS), max_size=12))
def test_no_order_of_frames_reaches_the_end_but_the_right_one(frames: list[tuple[Speaker, JobFrame]]) -> None:
    talk = Conversation()
    seen: list[type[JobFrame]] = []
    for speaker, frame in frames:
        before = talk.state
        try:
            talk.observe(speaker, frame)
        except OutOfTurn:
            assert talk.state is before
            continue
        if not isinstance(frame, (CancelFrame, PrefillFrame, AckFrame, WaitFrame)):
            seen.append(type(frame))
    if talk.state is State.ENDED and seen[-1] is EndFrame:
        without_tokens = [kind for kind in seen if kind is not TokensFrame]
        assert without_tokens == [OfferFrame, AcceptFrame, FinishedFrame, ReceiptFrame, CountersignFrame, EndFrame]


def test_each_side_speaks_only_its_own_lines() -> None:
    talk = Conversation()
    with pytest.raises(OutOfTurn):
        talk.observe("provider", OfferFrame(b""))
    talk.observe("coordinator", OfferFrame(b""))
    with pytest.raises(OutOfTurn):
        talk.observe("coordinator", AcceptFrame("tiny"))
    with pytest.raises(OutOfTurn):
        talk.observe("provider", TokensFrame((1,), "a"))


def test_a_cancel_may_cross_the_end_of_the_answer() -> None:
    talk = Conversation()
    for speaker, frame in FRAMES[:-3]:
        talk.observe(speaker, frame)
    talk.observe("coordinator", CancelFrame())
    assert (talk.state, talk.cancelled) == (State.FINISHED, True)
    talk.observe("provider", ReceiptFrame(b""))
    with pytest.raises(OutOfTurn):
        talk.observe("provider", CancelFrame())


def test_the_prompt_is_told_once_and_not_behind_tokens() -> None:
    for first in (PrefillFrame(5, 0), TokensFrame((1,), "a")):
        talk = Conversation()
        talk.observe("coordinator", OfferFrame(b""))
        talk.observe("provider", AcceptFrame("tiny"))
        talk.observe("provider", first)
        with pytest.raises(OutOfTurn):
            talk.observe("provider", PrefillFrame(5, 0))
        assert talk.state is State.RUNNING


def test_a_wait_is_told_by_the_provider_until_there_is_something_to_tell() -> None:
    talk = Conversation()
    with pytest.raises(OutOfTurn):
        talk.observe("provider", WaitFrame("queued", 1))
    talk.observe("coordinator", OfferFrame(b""))
    with pytest.raises(OutOfTurn):
        talk.observe("coordinator", WaitFrame("queued", 1))
    for frame in (WaitFrame("loading", 9), AcceptFrame("tiny"), WaitFrame("queued", 1), TokensFrame((1,), "a")):
        talk.observe("provider", frame)
    with pytest.raises(OutOfTurn):
        talk.observe("provider", WaitFrame("queued", 1))  # it would put off the stall timer for ever


def test_acknowledgements_are_the_coordinators_and_come_until_the_receipt_is_answered() -> None:
    talk = Conversation()
    with pytest.raises(OutOfTurn):
        talk.observe("coordinator", AckFrame(b""))
    for speaker, frame in FRAMES[:-2]:
        talk.observe(speaker, frame)
    talk.observe("coordinator", AckFrame(b""))
    with pytest.raises(OutOfTurn):
        talk.observe("provider", AckFrame(b""))
    talk.observe("coordinator", CountersignFrame(b""))
    with pytest.raises(OutOfTurn):
        talk.observe("coordinator", AckFrame(b""))
