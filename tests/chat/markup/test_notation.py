"""The notation as it travels."""

from __future__ import annotations

import pytest

from peernode.chat.markup import Notation


@pytest.mark.parametrize(
    ("text", "notation"),
    [
        ("", Notation()),
        ("hermes", Notation("hermes")),
        ("think", Notation(thinks=True)),
        ("mistral+think+open", Notation("mistral", True, True)),
    ],
)
def test_a_notation_reads_back(text: str, notation: Notation) -> None:
    assert str(notation) == text
    assert Notation.read(text) == notation


def test_unknown_words_are_passed_over() -> None:
    assert Notation.read("klingon+think+x") == Notation("", True)
