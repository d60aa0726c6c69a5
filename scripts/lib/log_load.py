"""A whole log of receipts and the ways to check it: by its root, by a proof for each receipt, by its growth."""

from __future__ import annotations

from ledger_load import PROVIDER

from peernode.wire.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from peernode.wire.merkle import (
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_path,
    inclusion_path,
    leaf_hash,
    root_of,
)

BY_ROOT = "receipts by the root of their log and one signature"
BY_PATH = "receipts by a proof for each and one signature"


class Log:
    """Of ``entries``, with what its provider signed and its proofs, all made beforehand."""

    def __init__(self, entries: list[bytes]) -> None:
        self.entries = entries
        kept, frontier = {}, Frontier()
        for index, entry in enumerate(entries):
            kept[0, index] = leaf_hash(entry)
            kept.update(frontier.append(kept[0, index]))

        def nodes(level: int, index: int) -> bytes:
            return kept[level, index]

        size = len(entries)
        self.paths = [inclusion_path(index, size, nodes) for index in range(size)]
        self._old = size // 3
        self._growth = consistency_path(self._old, size, nodes)
        self._old_root = root_of(self._old, nodes)
        made = Checkpoint("main", PROVIDER.peer_id, size, frontier.root(), 1)
        self._checkpoint = sign_checkpoint(made, PROVIDER).raw

    def by_root(self) -> None:
        """Every entry, as somebody who has all of them checks the log."""
        made = open_checkpoint(self._checkpoint).checkpoint
        frontier = Frontier()
        for entry in self.entries:
            frontier.append(leaf_hash(entry))
        assert frontier.root() == made.root

    def by_paths(self) -> None:
        """Every entry by itself, and that the log only grew to there."""
        made = open_checkpoint(self._checkpoint).checkpoint
        for index, (entry, path) in enumerate(zip(self.entries, self.paths, strict=True)):
            check_inclusion(leaf_hash(entry), index, made.size, path, made.root)
        check_consistency(self._old, made.size, self._growth, self._old_root, made.root)
