"""Characters leave whole, wherever their bytes were cut."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from peernode.engine.worker.utf8 import Utf8Stream


@given(st.one_of(st.binary(max_size=40), st.text(max_size=20).map(str.encode)), st.lists(st.integers(0, 40)))
def test_any_split_of_bytes_gives_the_text_of_the_whole(raw: bytes, cuts: list[int]) -> None:
    stream = Utf8Stream()
    at = sorted({min(cut, len(raw)) for cut in cuts} | {0, len(raw)})
    said = "".join(stream.push(raw[a:b]) for a, b in itertools.pairwise(at))
    assert said + stream.flush() == raw.decode("utf-8", "replace")


def test_half_a_character_waits_for_the_other_half() -> None:
    stream = Utf8Stream()
    first, second = "é".encode()[:1], "é".encode()[1:]
    assert stream.push(b"caf" + first) == "caf"
    assert stream.push(second) == "é"
    assert stream.flush() == ""
