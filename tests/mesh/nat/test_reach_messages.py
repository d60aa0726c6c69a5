"""The messages about reachability, sound and not."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peernode.mesh.nat.errors import BadReachMessage
from peernode.mesh.nat.reach_messages import Ask, Back, Told, decode

NONCE = bytes(range(16))


@pytest.mark.parametrize(
    "message", [Ask(4701, NONCE), Told("198.51.100.1", True), Told("2001:db8::1", False), Back(NONCE)]
)
def test_messages_survive_the_wire(message):
    assert decode(message.encode()) == message


@pytest.mark.parametrize(
    "items",
    [
        [0, 0, NONCE],
        [0, 65536, NONCE],
        [0, True, NONCE],
        [0, 4701, b"short"],
        [0, 4701],
        [1, "x", 1],
        [2, "text"],
        [3, NONCE],
        [],
        {},
        None,
        [[[]]],
        [1, "x" * 65, True],
    ],
)
def test_what_is_not_a_message_is_refused(items):
    with pytest.raises(BadReachMessage):
        decode(msgpack.packb(items))


@given(st.binary(max_size=300))
def test_junk_is_refused_or_read_and_never_crashes(junk):
    try:
        message = decode(junk)
    except BadReachMessage:
        return
    assert decode(message.encode()) == message
