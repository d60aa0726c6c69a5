"""Which resident sequence holds which tokens: a radix tree whose every edge is one run of cells in the model's memory.

Pure book-keeping. Sequences that pass through a node share its cells; a node lives as long as one of them does. Each
salt has a tree of its own, so that what one payer computed cannot be noticed by another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from peernode.engine.worker.sequence import TokenArray


class Match(NamedTuple):
    """The first ``length`` tokens are resident and held by ``holder``; ``pinned`` of them cannot be evicted."""

    length: int
    holder: int
    pinned: int


class Overlap(NamedTuple):
    """The tokens ``begin`` to ``end`` were there already: ``source`` holds their cells."""

    begin: int
    end: int
    source: int


class _Node:
    __slots__ = ("children", "edge", "holders", "parent")

    def __init__(self, edge: TokenArray, parent: _Node | None, holders: set[int]) -> None:
        self.edge = edge
        self.parent = parent
        self.holders = holders
        self.children: dict[int, _Node] = {}


class PrefixTree:
    """``size`` cells are in use by all that is held, ``pinned`` of them by sequences that were pinned."""

    def __init__(self) -> None:
        self._roots: dict[str, _Node] = {}
        self._ends: dict[int, tuple[str, _Node]] = {}
        self._pins: set[int] = set()
        self._pinned: int | None = 0
        self.size = 0

    @property
    def pinned(self) -> int:
        if self._pinned is None:
            self._pinned = sum(len(node.edge) for node in self._nodes() if not node.holders.isdisjoint(self._pins))
        return self._pinned

    def match(self, salt: str, tokens: TokenArray) -> Match:
        """The longest resident prefix of ``tokens``."""
        node = self._roots.get(salt)
        at = pinned = 0
        holder = -1
        while node is not None and at < len(tokens):
            node = node.children.get(int(tokens[at]))
            if node is None:
                break
            common = common_length(node.edge, tokens[at:])
            if pinned == at and not node.holders.isdisjoint(self._pins):
                pinned += common
            at += common
            holder = next(iter(node.holders))
            if common < len(node.edge):
                break
        return Match(at, holder, pinned)

    def held(self, slot: int) -> int:
        """How many tokens ``slot`` holds here."""
        end = self._ends.get(slot)
        node = end[1] if end else None
        total = 0
        while node is not None:
            total += len(node.edge)
            node = node.parent
        return total

    def tokens(self, slot: int) -> tuple[str, TokenArray]:
        """What ``slot`` holds, and with whose salt; it holds something."""
        salt, end = self._ends[slot]
        node: _Node | None = end
        edges: list[TokenArray] = []
        while node is not None:
            edges.append(node.edge)
            node = node.parent
        return salt, np.concatenate(edges[::-1])

    def hold(self, slot: int, salt: str, tokens: TokenArray) -> list[Overlap]:
        """Say that ``slot`` holds ``tokens``, which begin with all that it held before.

        Returns the runs that others held before it: from now on their cells are also the cells of ``slot``.
        """
        self._pinned = None
        node = self._roots.setdefault(salt, _Node(tokens[:0], None, set()))
        overlaps: list[Overlap] = []
        at = 0
        while at < len(tokens):
            child = node.children.get(int(tokens[at]))
            if child is None:
                node = self._grow(node, slot, tokens[at:])
                break
            common = common_length(child.edge, tokens[at:])
            if common < len(child.edge):
                child = self._split(child, common)
            if slot not in child.holders:
                overlaps.append(Overlap(at, at + common, next(iter(child.holders))))
                child.holders.add(slot)
            node = child
            at += common
        self._ends[slot] = (salt, node)
        return overlaps

    def remove(self, slot: int) -> None:
        """Forget what ``slot`` held; cells that nobody else holds are gone."""
        self._pins.discard(slot)
        if slot not in self._ends:
            return
        self._pinned = None
        salt, node = self._ends.pop(slot)
        while node.parent is not None:
            parent = node.parent
            node.holders.discard(slot)
            if not node.holders:
                del parent.children[int(node.edge[0])]
                self.size -= len(node.edge)
            else:
                self._join(node)
            node = parent
        if not node.children and not any(end[1] is node for end in self._ends.values()):
            del self._roots[salt]

    def pin(self, slot: int) -> None:
        self._pins.add(slot)
        self._pinned = None

    def unpin(self, slot: int) -> None:
        self._pins.discard(slot)
        self._pinned = None

    def is_covered(self, slot: int) -> bool:
        """Whether others hold every cell of ``slot``."""
        end = self._ends.get(slot)
        return end is None or len(end[1].holders) > 1

    def _grow(self, node: _Node, slot: int, tail: TokenArray) -> _Node:
        self.size += len(tail)
        if node.parent is not None and not node.children and node.holders == {slot}:
            node.edge = np.concatenate([node.edge, tail])
            return node
        node.children[int(tail[0])] = grown = _Node(tail.copy(), node, {slot})
        return grown

    def _split(self, node: _Node, at: int) -> _Node:
        """Cut the edge after ``at`` tokens. The lower part stays the same node: sequences end there."""
        parent = node.parent
        assert parent is not None
        upper = _Node(node.edge[:at], parent, set(node.holders))
        parent.children[int(node.edge[0])] = upper
        node.edge, node.parent = node.edge[at:], upper
        upper.children[int(node.edge[0])] = node
        return upper

    def _join(self, node: _Node) -> None:
        """Undo a split that no longer separates anybody: the inner node goes, its only child takes its tokens."""
        if len(node.children) != 1 or node.parent is None:
            return
        (child,) = node.children.values()
        if child.holders != node.holders:
            return
        child.edge = np.concatenate([node.edge, child.edge])
        child.parent = node.parent
        node.parent.children[int(child.edge[0])] = child

    def _nodes(self) -> Iterator[_Node]:
        unseen = list(self._roots.values())
        while unseen:
            node = unseen.pop()
            unseen.extend(node.children.values())
            yield node


def common_length(one: TokenArray, other: TokenArray) -> int:
    """How many leading tokens are the same."""
    size = min(len(one), len(other))
    differing = np.flatnonzero(one[:size] != other[:size])
    return int(differing[0]) if len(differing) else size
