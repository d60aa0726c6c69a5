"""Stop strings found in a stream are those found in the whole text, and nothing of them is ever said."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from peernode.engine.worker.stops import StopMatcher

TEXT = st.text(alphabet="abc", max_size=60)
STOPS = st.lists(st.text(alphabet="abc", min_size=1, max_size=5), max_size=4)


def cut_whole(text: str, stops: list[str]) -> tuple[str, bool]:
    """The same by brute force: the first end of a stop string, and there the longest."""
    for end in range(len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


def split(text: str, cuts: list[int]) -> list[str]:
    at = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[a:b] for a, b in itertools.pairwise(at)]


@given(TEXT, STOPS, st.lists(st.integers(0, 60)))
def test_any_split_says_what_the_whole_text_would(text: str, stops: list[str], cuts: list[int]) -> None:
    matcher = StopMatcher(stops)
    said = "".join(matcher.push(part) for part in split(text, cuts))
    said += "" if matcher.stopped else matcher.flush()
    assert (said, matcher.stopped) == cut_whole(text, stops)


@given(TEXT, STOPS, st.lists(st.integers(0, 60)))
def test_nothing_said_so_far_can_be_taken_back(text: str, stops: list[str], cuts: list[int]) -> None:
    matcher = StopMatcher(stops)
    whole, _ = cut_whole(text, stops)
    said = ""
    for part in split(text, cuts):
        said += matcher.push(part)
        assert whole.startswith(said)


def test_only_a_possible_beginning_is_held_back() -> None:
    matcher = StopMatcher(["END"])
    assert matcher.push("the EN") == "the "
    assert matcher.push("T") == "ENT"
    assert matcher.push("E") == ""
    assert matcher.flush() == "E"


def test_nothing_comes_after_the_stop() -> None:
    matcher = StopMatcher(["x"])
    assert matcher.push("abxcd") == "ab"
    assert matcher.stopped
    assert matcher.push("more") == ""
