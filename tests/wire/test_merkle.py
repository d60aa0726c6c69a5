"""Merkle trees: the known answers of RFC 6962's first logs, and agreement with the definition, leaf by leaf."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peernode.wire.errors import BadProof
from peernode.wire.merkle import (
    EMPTY_ROOT,
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    root_of,
)

# Entries and roots of the tests of Certificate Transparency, which every implementation of RFC 6962 shares.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATH_OF_THE_FIRST_IN_EIGHT = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]


class Tree:
    """Every complete subtree of a log, in memory."""

    def __init__(self, entries: list[bytes]) -> None:
        self.frontier = Frontier()
        self.kept: dict[tuple[int, int], bytes] = {}
        for index, entry in enumerate(entries):
            leaf = leaf_hash(entry)
            self.kept[0, index] = leaf
            self.kept.update(self.frontier.append(leaf))

    def nodes(self, level: int, index: int) -> bytes:
        return self.kept[level, index]


def by_definition(entries: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, word by word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return leaf_hash(entries[0])
    middle = 1
    while middle * 2 < len(entries):
        middle *= 2
    return node_hash(by_definition(entries[:middle]), by_definition(entries[middle:]))


def path_by_definition(index: int, entries: list[bytes]) -> list[bytes]:
    """PATH of 2.1.3.1."""
    if len(entries) == 1:
        return []
    middle = 1
    while middle * 2 < len(entries):
        middle *= 2
    left, right = entries[:middle], entries[middle:]
    if index < middle:
        return [*path_by_definition(index, left), by_definition(right)]
    return [*path_by_definition(index - middle, right), by_definition(left)]


def subproof_by_definition(old: int, entries: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF of 2.1.4.1."""
    if old == len(entries):
        return [] if whole else [by_definition(entries)]
    middle = 1
    while middle * 2 < len(entries):
        middle *= 2
    left, right = entries[:middle], entries[middle:]
    if old <= middle:
        return [*subproof_by_definition(old, left, whole), by_definition(right)]
    return [*subproof_by_definition(old - middle, right, False), by_definition(left)]


def test_roots_are_those_of_certificate_transparency() -> None:
    tree = Tree(ENTRIES)
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Frontier().root() == root_of(0, tree.nodes) == EMPTY_ROOT
    for size, root in enumerate(ROOTS, start=1):
        assert Tree(ENTRIES[:size]).frontier.root().hex() == root
        assert root_of(size, tree.nodes).hex() == root


def test_a_path_is_that_of_certificate_transparency() -> None:
    nodes = Tree(ENTRIES).nodes
    assert [each.hex() for each in inclusion_path(0, 8, nodes)] == PATH_OF_THE_FIRST_IN_EIGHT
    assert [each.hex() for each in consistency_path(1, 8, nodes)] == PATH_OF_THE_FIRST_IN_EIGHT


@pytest.mark.parametrize("size", range(1, 34))
def test_every_proof_of_every_small_tree(size: int) -> None:
    entries = [bytes([number]) for number in range(size)]
    tree = Tree(entries)
    root = by_definition(entries)
    assert tree.frontier.root() == root_of(size, tree.nodes) == Frontier.of(size, tree.nodes).root() == root
    for index in range(size):
        path = inclusion_path(index, size, tree.nodes)
        assert path == path_by_definition(index, entries)
        check_inclusion(leaf_hash(entries[index]), index, size, path, root)
    for old in range(1, size + 1):
        path = consistency_path(old, size, tree.nodes)
        assert path == subproof_by_definition(old, entries, True)
        check_consistency(old, size, path, by_definition(entries[:old]), root)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_proofs_of_large_trees_hold_and_lies_about_them_do_not(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 1500))
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size - 1))
    nodes, root = LARGE.nodes, root_of(size, LARGE.nodes)
    leaf, old_root = LARGE.kept[0, index], root_of(old, LARGE.nodes)
    path, between = inclusion_path(index, size, nodes), consistency_path(old, size, nodes)
    check_inclusion(leaf, index, size, path, root)
    check_consistency(old, size, between, old_root, root)

    other = data.draw(st.integers(0, size - 1).filter(lambda each: each != index))
    lies = [(leaf, other, size, path, root), (leaf_hash(b"x"), index, size, path, root)]
    lies += [(leaf, index, size, path, old_root), (leaf, size, size, path, root), (leaf, -1, size, path, root)]
    lies += [(leaf, index, size, changed, root) for changed in _changes(data, path)]
    for lie in lies:
        with pytest.raises(BadProof):
            check_inclusion(*lie)

    false = [(old, size, changed, old_root, root) for changed in _changes(data, between)]
    false += [(old, size, between, root, root), (old, size, between, old_root, old_root)]
    false += [(size, old, between, root, old_root), (0, size, between, EMPTY_ROOT, root)]
    false += [(size, size, [], old_root, root), (size, size, between, root, root)]
    for claim in false:
        with pytest.raises(BadProof):
            check_consistency(*claim)


def _changes(data: st.DataObject, path: list[bytes]) -> list[list[bytes]]:
    """Other paths: one hash more or less at either end, two exchanged, one bit flipped."""
    changed = [path[1:], path[:-1], [*path, path[-1]], [path[0], *path], []]
    if len(path) > 1:
        at = data.draw(st.integers(0, len(path) - 2))
        changed.append([*path[:at], path[at + 1], path[at], *path[at + 2 :]])
    at, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
    flipped = (int.from_bytes(path[at], "big") ^ 1 << bit).to_bytes(32, "big")
    changed.append([*path[:at], flipped, *path[at + 1 :]])
    return [each for each in changed if each != path]


LARGE = Tree([number.to_bytes(4, "big") for number in range(1500)])


def test_the_work_of_a_proof_grows_with_the_logarithm() -> None:
    asked: list[tuple[int, int]] = []

    def nodes(level: int, index: int) -> bytes:
        asked.append((level, index))
        return bytes(32)

    size = 1_000_003
    for index in (0, 1, 77, size // 2, size - 1):
        asked.clear()
        assert len(inclusion_path(index, size, nodes)) <= 20
        assert len(asked) <= 40
        asked.clear()
        assert len(consistency_path(max(1, index), size, nodes)) <= 21
        assert len(asked) <= 60


def test_what_has_no_proof() -> None:
    nodes = Tree(ENTRIES).nodes
    for index, size in ((8, 8), (-1, 8), (0, 0)):
        with pytest.raises(ValueError):
            inclusion_path(index, size, nodes)
    for old, new in ((0, 8), (5, 4), (-1, 3)):
        with pytest.raises(ValueError):
            consistency_path(old, new, nodes)
    with pytest.raises(ValueError):
        Frontier(3, [bytes(32)])
