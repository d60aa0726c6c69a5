"""Prefixes that left the model's memory, kept in the host's as blocks of cells.

A tree like ``prefix_tree``, but every edge is at most one block, saved and restored by itself, so that prompts with a
common beginning share its bytes. Owns the limit on those bytes: the blocks that were not used for the longest time go
first, and never one that others build on. Knows nothing of what a block's data mean.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from peernode.engine.worker.prefix_tree import common_length
from peernode.engine.worker.sequence import TokenArray

BLOCK_TOKENS = 256
# What a block takes beside its data: Python's objects and the tokens' ids.
BLOCK_OVERHEAD = 2048

Blob: TypeAlias = NDArray[np.uint8]


class Block(NamedTuple):
    """Cells of the tokens from ``begin`` on; those up to ``end`` are of use."""

    begin: int
    end: int
    data: Blob


class _Node:
    __slots__ = ("children", "data", "parent", "tokens")

    def __init__(self, tokens: TokenArray, data: Blob, parent: _Node | None) -> None:
        self.tokens = tokens
        self.data = data
        self.parent = parent
        self.children: dict[int, list[_Node]] = {}  # by their first token


_NOTHING: Blob = np.empty(0, np.uint8)


class PrefixStore:
    """Holds at most ``limit`` bytes; ``used`` of them are taken, by ``tokens`` tokens."""

    def __init__(self, limit: int, *, block_tokens: int = BLOCK_TOKENS) -> None:
        self.limit = limit
        self.block_tokens = block_tokens
        self.used = self.tokens = 0
        self._roots: dict[str, _Node] = {}
        # Least recently used first. Whoever is used, all above it are used after it: the first has nobody below.
        self._recent: OrderedDict[_Node, str] = OrderedDict()

    def match(self, salt: str, tokens: TokenArray) -> list[Block]:
        """The blocks of the longest stored prefix of ``tokens``, in order; the last may be of use only in part."""
        node = self._roots.get(salt)
        blocks: list[Block] = []
        at = 0
        while node is not None and at < len(tokens):
            child, common = _nearest(node, tokens[at:])
            if child is None:
                break
            blocks.append(Block(at, at + common, child.data))
            node = child
            at += common
            if common < self.block_tokens:
                break
        self._touch(salt, node)
        return blocks

    def missing(self, salt: str, tokens: TokenArray) -> tuple[int, int] | None:
        """The next run of ``tokens`` to ``put``, or None when all are here."""
        node, at = self._parent(salt, tokens)
        end = min(at + self.block_tokens, len(tokens))
        is_here = node is not None and _nearest(node, tokens[at:end])[1] == end - at
        return None if is_here or end == at else (at, end)

    def put(self, salt: str, tokens: TokenArray, data: Blob) -> bool:
        """Keep the cells of the last run of ``tokens``, which was just ``missing``; False where there is no room."""
        parent, at = self._parent(salt, tokens)
        if len(data) + BLOCK_OVERHEAD > self.limit:
            return False
        if parent is None:
            parent = self._roots[salt] = _Node(tokens[:0], _NOTHING, None)
        node = _Node(tokens[at:].copy(), data, parent)
        siblings = parent.children.setdefault(int(node.tokens[0]), [])
        shorter = [one for one in siblings if common_length(one.tokens, node.tokens) == len(one.tokens)]
        siblings.append(node)
        self.used += len(data) + BLOCK_OVERHEAD
        self.tokens += len(node.tokens)
        self._touch(salt, node)
        for one in shorter:
            self._remove(one, salt)
        while self.used > self.limit:
            self._remove(*next(iter(self._recent.items())))
        return node in self._recent

    def _parent(self, salt: str, tokens: TokenArray) -> tuple[_Node | None, int]:
        """The last whole block on the way of ``tokens`` and where it ends."""
        node = self._roots.get(salt)
        at = 0
        size = self.block_tokens
        while node is not None and len(tokens) - at > size:
            child, common = _nearest(node, tokens[at : at + size])
            if child is None or common < size:
                break
            node = child
            at += size
        return node, at

    def _touch(self, salt: str, node: _Node | None) -> None:
        while node is not None and node.parent is not None:
            self._recent[node] = salt
            self._recent.move_to_end(node)
            node = node.parent

    def _remove(self, node: _Node, salt: str) -> None:
        """``node`` has no children."""
        del self._recent[node]
        self.used -= len(node.data) + BLOCK_OVERHEAD
        self.tokens -= len(node.tokens)
        parent = node.parent
        assert parent is not None
        assert not node.children
        first = int(node.tokens[0])
        parent.children[first].remove(node)
        if not parent.children[first]:
            del parent.children[first]
        if parent.parent is None and not parent.children:
            self._roots.pop(salt, None)


def _nearest(node: _Node, tokens: TokenArray) -> tuple[_Node | None, int]:
    """The child with the longest beginning in common with ``tokens``, and how long that is."""
    best, longest = None, 0
    for child in node.children.get(int(tokens[0]), ()) if len(tokens) else ():
        common = common_length(child.tokens, tokens)
        if common > longest:
            best, longest = child, common
    return best, longest
