"""Merkle trees as logs have them: a root for every size, and proofs that an entry is in, that a log only grew.

Pure. A complete subtree is named by its place (level, index): the leaves from ``index << level``, ``1 << level`` of
them; level 0 are the leaf hashes. Whoever keeps those can give every root and every proof with O(log n) of them.
Source: RFC 9162, section 2.1 (the hashes are those of RFC 6962).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from peernode.wire.errors import BadProof

HASH_BYTES = 32
# Paths of longer logs would not fit 63-bit sizes.
MAX_PATH = 64
EMPTY_ROOT = hashlib.sha256(b"").digest()

Place: TypeAlias = tuple[int, int]
Nodes: TypeAlias = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def completed_by(index: int) -> list[Place]:
    """The complete subtrees above the leaves that leaf ``index`` is the last of, the smallest first."""
    places = []
    level = 0
    while index & 1:
        level, index = level + 1, index >> 1
        places.append((level, index))
    return places


class Frontier:
    """The roots of the complete subtrees that a growing tree consists of, the largest first: all that it takes to
    go on appending, and to give the root.
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if len(peaks) != size.bit_count():
            raise ValueError("a frontier has one peak for each bit of its size")
        self.size = size
        self.peaks = list(peaks)

    @classmethod
    def of(cls, size: int, nodes: Nodes) -> Frontier:
        """The frontier of a tree whose complete subtrees ``nodes`` gives."""
        return cls(size, [nodes(*place) for place in _complete(0, size)])

    def append(self, leaf: bytes) -> list[tuple[Place, bytes]]:
        """Take in one leaf hash; the subtrees above the leaves that it completes, the smallest first."""
        made = []
        for place in completed_by(self.size):
            leaf = node_hash(self.peaks.pop(), leaf)
            made.append((place, leaf))
        self.peaks.append(leaf)
        self.size += 1
        return made

    def root(self) -> bytes:
        return _joined(self.peaks)


def root_of(size: int, nodes: Nodes) -> bytes:
    """The root of the first ``size`` leaves."""
    return _subtree(0, size, nodes)


def inclusion_path(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """The proof that leaf ``index`` is among the first ``size``. Raises ValueError when it cannot be."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has none at {index}")
    path, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_subtree(middle, end, nodes))
            end = middle
        else:
            path.append(_subtree(start, middle, nodes))
            start = middle
    return path[::-1]


def consistency_path(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """The proof that the first ``old`` leaves are the beginning of the first ``new``. Raises ValueError."""
    if not 1 <= old <= new:
        raise ValueError(f"there is no proof from {old} to {new} leaves")
    path, start, end, whole = [], 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_subtree(middle, end, nodes))
            end = middle
        else:
            path.append(_subtree(start, middle, nodes))
            start, whole = middle, False
    if not whole:
        path.append(_subtree(start, end, nodes))
    return path[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Raises BadProof unless ``path`` leads from leaf hash ``leaf`` at ``index`` to the root of ``size`` leaves."""
    if not 0 <= index < size:
        raise BadProof("The proof is of an entry that the log does not have.", cause=f"number {index} of {size}")
    at, last, found = index, size - 1, leaf
    for each in path:
        if last == 0:
            raise BadProof("The path of the proof is too long.", cause=f"{len(path)} hashes")
        if at & 1 or at == last:
            found = node_hash(each, found)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, each)
        at, last = at >> 1, last >> 1
    if last:
        raise BadProof("The path of the proof is too short.", cause=f"{len(path)} hashes")
    if found != root:
        raise BadProof("The proof does not lead to the root.", cause=f"{found.hex()[:16]}, not {root.hex()[:16]}")


def check_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Raises BadProof unless ``path`` shows that the log with ``old`` leaves is the beginning of that with ``new``."""
    if not 1 <= old <= new:
        raise BadProof("A log cannot have shrunk.", cause=f"from {old} to {new} entries")
    if old == new:
        if path or old_root != new_root:
            raise BadProof("Logs of one size have one root, and no path between them.")
        return
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not hashes:
        raise BadProof("The path of the proof is too short.", cause="no hashes")
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = hashes[0]
    for each in hashes[1:]:
        if last == 0:
            raise BadProof("The path of the proof is too long.", cause=f"{len(path)} hashes")
        if at & 1 or at == last:
            first, second = node_hash(each, first), node_hash(each, second)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, each)
        at, last = at >> 1, last >> 1
    if last:
        raise BadProof("The path of the proof is too short.", cause=f"{len(path)} hashes")
    if first != old_root or second != new_root:
        raise BadProof("The proof does not lead to both roots.", cause=f"of {old} and of {new} entries")


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1


def _complete(start: int, end: int) -> Iterator[Place]:
    """The complete subtrees that the leaves from ``start`` to ``end`` consist of; ``start`` is where a split falls."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _subtree(start: int, end: int, nodes: Nodes) -> bytes:
    return _joined([nodes(*place) for place in _complete(start, end)])


def _joined(peaks: Sequence[bytes]) -> bytes:
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root
