"""Exclusive bounds of fractions are moved inwards, and nothing else is."""

from __future__ import annotations

import pytest

from peernode.engine.worker.grammar.bounds import widen_exclusive


def test_the_bound_itself_is_no_longer_within_reach_of_a_reader() -> None:
    node = {"type": "number", "exclusiveMinimum": -60, "exclusiveMaximum": -55.0}
    widen_exclusive(node)
    assert set(node) == {"type", "minimum", "maximum"}
    assert -60 < node["minimum"] < -60 + 1e-9
    assert -55 - 1e-9 < node["maximum"] < -55


def test_a_tighter_bound_stays() -> None:
    node = {"minimum": 3, "exclusiveMinimum": 2, "maximum": 9, "exclusiveMaximum": 8}
    widen_exclusive(node)
    assert node["minimum"] == 3
    assert 7.9 < node["maximum"] < 8


@pytest.mark.parametrize(
    "node",
    [
        {"type": "integer", "exclusiveMinimum": 2},
        {"exclusiveMaximum": True},
        {"exclusiveMaximum": 10**400},
        {"exclusiveMinimum": "2"},
        {"minimum": 2},
    ],
)
def test_everything_else_is_left_alone(node: dict) -> None:
    before = dict(node)
    widen_exclusive(node)
    assert node == before
