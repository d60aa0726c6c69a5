"""Sync messages survive the round trip; anything else is one typed error, cheaply."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.mesh.errors import BadSyncMessage
from peernode.mesh.frames import MAX_FRAME_BYTES
from peernode.mesh.sync_messages import (
    MAX_PEERS,
    Enough,
    Have,
    Record,
    Records,
    Want,
    decode,
    encode_enough,
    encode_have,
    encode_records,
    encode_want,
)

peers = st.lists(st.text(max_size=16), max_size=50)


@given(st.dictionaries(st.text(max_size=16), st.integers(0, 2**63), max_size=50))
def test_numbers_survive(numbers):
    (frame,) = encode_have(numbers)
    assert decode(frame) == Have(numbers)


@given(peers.filter(bool))
def test_wishes_survive(names):
    (want,), (enough,) = encode_want(names), encode_enough(names)
    assert decode(want) == Want(tuple(names))
    assert decode(enough) == Enough(tuple(names))


def test_large_tables_are_paged_within_the_frame_limit():
    numbers = {f"{n:052d}": 2**60 + n for n in range(MAX_PEERS + 5)}
    frames = list(encode_have(numbers))
    assert len(frames) == 2
    assert all(len(frame) <= MAX_FRAME_BYTES for frame in frames)
    assert {peer: seq for frame in frames for peer, seq in decode(frame).numbers.items()} == numbers

    frames = list(encode_want(numbers))
    assert [len(decode(frame).peers) for frame in frames] == [MAX_PEERS, 5]
    assert all(len(frame) <= MAX_FRAME_BYTES for frame in frames)

    items = [Record(n, bytes(60_000), bytes(n)) for n in range(30)]
    frames = list(encode_records(items))
    assert all(len(frame) <= MAX_FRAME_BYTES for frame in frames)
    assert [item for frame in frames for item in decode(frame).items] == items
    assert list(encode_records([])) == list(encode_want([])) == list(encode_enough([])) == []


@given(st.binary(max_size=200))
def test_noise_is_refused_by_code(noise):
    try:
        assert isinstance(decode(noise), Have | Records | Want | Enough)
    except BadSyncMessage as refused:
        assert refused.code == "bad_sync_message"


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x91" * 100_000,  # nested a hundred thousand deep
        b"\xdd\xff\xff\xff\xff",  # an array of four billion
        b"\xdb\xff\xff\xff\xff",  # a text of four billion
        msgpack.packb([0, [["p", -1]]]),
        msgpack.packb([0, [["p", True]]]),
        msgpack.packb([1, [[0, "text", b""]]]),
        msgpack.packb([1, [[0, b"advert"]]]),
        msgpack.packb([1, [[0, b"", b""]]]),
        msgpack.packb([1, [[-1, b"advert", b""]]]),
        msgpack.packb([1, [[0, b"", bytes(513)]]]),
        msgpack.packb([2, [1]]),
        msgpack.packb([3, [[]]]),
        msgpack.packb([4, []]),
        msgpack.packb({"a": 1}),
        msgpack.packb([0, [["x" * 65, 1]]]),
        msgpack.packb([2, ["x" * 65]]),
    ],
)
def test_bombs_and_wrong_shapes_are_refused(bomb):
    with pytest.raises(BadSyncMessage):
        decode(bomb)
