"""Frames about receipts read back as they were; anything else is refused with a typed error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.wire import canonical
from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema, WireError
from peernode.wire.log_frames import LOG_DECODERS
from peernode.wire.receipt_frames import (
    DECODERS,
    MAX_RECORDS,
    AskFrame,
    ClaimFrame,
    DoneFrame,
    FetchFrame,
    LateCountersignFrame,
    LateReceiptFrame,
    NothingFrame,
    ReceiptErrorFrame,
    ReceiptTalkFrame,
    RecordsFrame,
    decode_receipt_frame,
    encode_receipt_frame,
)

FRAMES: list[ReceiptTalkFrame] = [
    ClaimFrame("req_1", 2, b"word", exact=True),
    LateReceiptFrame(b"receipt", b"word"),
    LateReceiptFrame(b"receipt"),
    LateCountersignFrame(b"countersignature"),
    DoneFrame(),
    AskFrame("req_1", 2),
    AskFrame("req_1", 2, b"receipt", b"word"),
    FetchFrame("req_1"),
    RecordsFrame(((b"receipt", b"countersignature"), (b"receipt", b""))),
    NothingFrame("never heard of it"),
    ReceiptErrorFrame("still_running", "Later."),
]


@pytest.mark.parametrize("frame", FRAMES)
def test_frames_read_back_as_they_were(frame: ReceiptTalkFrame) -> None:
    assert decode_receipt_frame(encode_receipt_frame(frame)) == frame


def test_every_frame_is_among_them() -> None:
    assert len({type(frame) for frame in FRAMES}) == len(DECODERS) - len(LOG_DECODERS)


@pytest.mark.parametrize(
    "fields",
    [
        [0],
        [10],
        [15],
        [1, "", 0, b"", True],
        [1, "req", 1 << 17, b"", True],
        [1, "req", 0, b"x" * 1025, True],
        [1, "req", 0, b"", 1],
        [2, b"x" * 16385, b""],
        [3, b"x" * 2049],
        [4, 1],
        [6, "x" * 65],
        [7, [[b"", b""]] * (MAX_RECORDS + 1)],
        [7, [[b""]]],
    ],
)
def test_what_is_out_of_bounds_is_refused(fields: list[Value]) -> None:
    with pytest.raises(BadSchema):
        decode_receipt_frame(canonical.encode(fields))


@given(st.binary(max_size=100))
def test_garbage_is_refused_with_a_typed_error(raw: bytes) -> None:
    try:
        frame = decode_receipt_frame(raw)
    except WireError:
        return
    assert encode_receipt_frame(frame) == raw
