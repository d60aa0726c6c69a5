"""The tree against a plain model: every sequence's tokens in a dict."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peernode.engine.worker.prefix_tree import PrefixTree, common_length

TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=10)
SALTS = st.sampled_from(["", "ann"])
SLOTS = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), SLOTS, SALTS, TOKENS),
        st.tuples(st.just("more"), SLOTS, SALTS, TOKENS),
        st.tuples(st.just("remove"), SLOTS, SALTS, TOKENS),
        st.tuples(st.just("pin"), SLOTS, SALTS, TOKENS),
        st.tuples(st.just("unpin"), SLOTS, SALTS, TOKENS),
    ),
    max_size=30,
)


def array(tokens: list[int] | tuple[int, ...]) -> np.ndarray:
    return np.array(tokens, np.int32)


def distinct(held: dict[int, tuple[str, list[int]]], only: set[int]) -> int:
    """Cells that a perfectly shared memory needs: one for each distinct prefix."""
    return len({(salt, tuple(t[: n + 1])) for slot, (salt, t) in held.items() if slot in only for n in range(len(t))})


@given(STEPS, SALTS, TOKENS)
def test_it_knows_what_is_held_and_how_many_cells_that_takes(steps: list, salt: str, wanted: list[int]) -> None:
    tree = PrefixTree()
    held: dict[int, tuple[str, list[int]]] = {}
    pins: set[int] = set()
    for what, slot, under, tokens in steps:
        if what == "hold" and slot not in held:
            check_hold(tree, held, slot, under, tokens)
        elif what == "more" and slot in held:
            own, before = held[slot]
            check_hold(tree, held, slot, own, before + tokens)
        elif what == "remove":
            tree.remove(slot)
            held.pop(slot, None)
            pins.discard(slot)
        elif what == "pin" and slot in held:
            tree.pin(slot)
            pins.add(slot)
        elif what == "unpin":
            tree.unpin(slot)
            pins.discard(slot)
        assert tree.size == distinct(held, set(held))
        assert tree.pinned == distinct(held, pins)
        assert all(tree.held(number) == len(t) for number, (_, t) in held.items())
    found = tree.match(salt, array(wanted))
    lengths = {n: common_length(array(t), array(wanted)) for n, (own, t) in held.items() if own == salt}
    assert found.length == max(lengths.values(), default=0)
    assert found.pinned == max((size for n, size in lengths.items() if n in pins), default=0)
    if found.length:
        assert lengths[found.holder] == found.length


def check_hold(tree: PrefixTree, held: dict, slot: int, salt: str, tokens: list[int]) -> None:
    others = {n: t for n, (own, t) in held.items() if own == salt and n != slot}
    for begin, end, source in tree.hold(slot, salt, array(tokens)):
        assert others[source][:end] == tokens[:end]
        assert begin < end
    held[slot] = (salt, list(tokens))


def test_what_all_others_hold_is_covered() -> None:
    tree = PrefixTree()
    tree.hold(0, "", array([1, 2, 3]))
    assert not tree.is_covered(0)
    tree.hold(1, "", array([1, 2]))
    assert tree.is_covered(1)
    assert not tree.is_covered(0)


def test_strangers_notice_nothing_of_each_other() -> None:
    tree = PrefixTree()
    tree.hold(0, "ann", array([1, 2, 3]))
    assert tree.match("bob", array([1, 2, 3])).length == 0


def test_removing_all_leaves_nothing() -> None:
    tree = PrefixTree()
    for slot, salt in enumerate(["a", "b", "a"]):
        tree.hold(slot, salt, array([slot, 1]))
    for slot in range(3):
        tree.remove(slot)
    assert (tree.size, tree.pinned, tree._roots) == (0, 0, {})
