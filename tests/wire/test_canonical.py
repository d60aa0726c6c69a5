"""One encoding: what is written reads back, and nothing else reads at all."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.wire.canonical import decode, encode
from peernode.wire.errors import BadSchema, NotCanonical, WireError

scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(1 << 63), max_value=(1 << 64) - 1)
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=5), max_leaves=20)


@given(values)
def test_what_is_encoded_decodes_to_itself(value: object) -> None:
    assert decode(encode(value)) == value


@given(st.binary(max_size=200))
def test_bytes_that_decode_are_the_encoding_of_what_they_say(raw: bytes) -> None:
    try:
        value = decode(raw)
    except NotCanonical:
        return
    assert encode(value) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"\xcc\x05",  # 5 in two bytes
        b"\xd9\x01a",  # a short string with a long header
        b"\xdc\x00\x01\x01",  # a short list with a long header
        b"\x81\xa1a\x01",  # a map
        b"\xcb" + bytes(8),  # a float
        b"\xc7\x01\x05\x00",  # an extension
        b"\x01\x02",  # two values
        b"\xdd\xff\xff\xff\xff",  # a list of four thousand million entries
        b"\xc6\xff\xff\xff\xff",  # bytes of four gigabytes
        b"\x91" * 5000 + b"\x01",  # nesting without end
        b"\xa1\xff",  # text that is not UTF-8
        b"",
    ],
)
def test_any_other_form_is_refused(raw: bytes) -> None:
    with pytest.raises(NotCanonical):
        decode(raw)


@pytest.mark.parametrize("value", [1.5, {"a": 1}, 1 << 64, -(1 << 63) - 1, object(), [[[[[[[[[[1]]]]]]]]]]])
def test_what_may_not_be_signed_is_not_encoded(value: object) -> None:
    with pytest.raises(BadSchema):
        encode(value)


def test_a_message_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(NotCanonical):
        decode(msgpack.packb(b"x" * 100), max_bytes=50)


def test_every_refusal_is_a_wire_error_with_a_code() -> None:
    assert issubclass(NotCanonical, WireError)
    assert NotCanonical.code != BadSchema.code
