"""Prefixes that left the model's memory, kept in the host's as blocks of cells.

A tree like ``prefix_tree``, but every edge is at most one block, saved and restored by itself, so that prompts with a
common beginning share its bytes. Owns the limit on those bytes: the blocks that were not used for the longest time go
first, and never one that others build on. Knows nothing of what a block's data mean.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from operator import attrgetter
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
    """``key``: its tokens' bytes. Its children are in the order of theirs, and none begins with all of another."""

    __slots__ = ("children", "data", "key", "parent")

    def __init__(self, key: bytes, data: Blob, parent: _Node | None) -> None:
        self.key = key
        self.data = data
        self.parent = parent
        self.children: list[_Node] = []


_TOKEN_BYTES = 4
_NOTHING: Blob = np.empty(0, np.uint8)
_by_key = attrgetter("key")


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
            child, common = _nearest(node, tokens[at : at + self.block_tokens])
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
            parent = self._roots[salt] = _Node(b"", _NOTHING, None)
        node = _Node(tokens[at:].tobytes(), data, parent)
        place = bisect_left(parent.children, node.key, key=_by_key)
        # Whoever is the beginning of ``node`` stands right before it: all between them would begin with it, too.
        shorter = parent.children[place - 1] if place else None
        parent.children.insert(place, node)
        self.used += len(data) + BLOCK_OVERHEAD
        self.tokens += _tokens_in(node)
        self._touch(salt, node)
        if shorter is not None and node.key.startswith(shorter.key):
            self._remove(shorter, salt)
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
        self.tokens -= _tokens_in(node)
        parent = node.parent
        assert parent is not None
        assert not node.children
        del parent.children[bisect_left(parent.children, node.key, key=_by_key)]
        if parent.parent is None and not parent.children:
            self._roots.pop(salt, None)


def _tokens_in(node: _Node) -> int:
    return len(node.key) // _TOKEN_BYTES


def _nearest(node: _Node, tokens: TokenArray) -> tuple[_Node | None, int]:
    """The child with the longest beginning in common with ``tokens``, and how long that is.

    In order, it is a neighbour of the place that ``tokens`` would have: however many there are, two are looked at.
    """
    key = tokens.tobytes()
    place = bisect_left(node.children, key, key=_by_key)
    best, longest = None, 0
    for child in node.children[max(0, place - 1) : place + 1]:
        common = common_length(np.frombuffer(child.key, np.int32), tokens)
        if common > longest:
            best, longest = child, common
    return best, longest
