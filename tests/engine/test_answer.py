"""From tokens to text: ends, limits, and a continued answer that says nothing twice and leaves nothing out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from peernode.engine.worker.answer import Answer

EURO = "€".encode()
PIECES = [b"", b"a", b"b", b"END", b"E", b"ND", EURO[:1], EURO[1:], b" word"]
END_OF_ANSWER = 0


def answer(*, limit: int = 100, stops: tuple[str, ...] = ("END",), earlier: tuple[int, ...] = ()) -> Answer:
    return Answer(PIECES, frozenset({END_OF_ANSWER}), stops=stops, limit=limit, earlier=earlier)


def test_the_end_token_is_not_part_of_the_answer() -> None:
    growing = answer()
    assert growing.add(1) == ("a", [1])
    assert growing.add(END_OF_ANSWER) == ("", [])
    assert (growing.end, growing.new_tokens) == ("stop", 1)


def test_held_back_text_comes_out_when_the_answer_ends_otherwise() -> None:
    growing = answer()
    assert growing.add(4) == ("", [4])
    assert growing.add(END_OF_ANSWER) == ("E", [])


def test_the_last_token_of_a_limited_answer_brings_everything() -> None:
    growing = answer(limit=2)
    assert growing.add(1) == ("a", [1])
    assert growing.add(4) == ("E", [4])
    assert growing.end == "length"


def test_a_stop_string_across_tokens_is_never_said() -> None:
    growing = answer()
    assert [growing.add(token)[0] for token in (1, 4, 5)] == ["a", "", ""]
    assert growing.end == "stop"


def test_an_earlier_part_that_reached_the_limit_leaves_nothing_to_do() -> None:
    assert answer(limit=2, earlier=(1, 2)).end == "length"
    assert answer(earlier=(1, 4, 5)).end == "stop"


@given(st.lists(st.integers(1, len(PIECES) - 1), max_size=20), st.integers(0, 20))
def test_an_answer_continued_elsewhere_reads_the_same(tokens: list[int], cut: int) -> None:
    whole, first = answer(), answer()
    expected = said = ""
    kept = []
    for token in tokens:
        if not whole.end:
            kept.append(token)
            expected += whole.add(token)[0]
    for token in kept[:cut]:
        said += first.add(token)[0]
    second = answer(earlier=tuple(kept[:cut]))
    for token in kept[cut:]:
        said += second.add(token)[0]
    assert (said, second.end) == (expected, whole.end)
    assert second.new_tokens == len(kept[cut:])
