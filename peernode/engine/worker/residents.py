"""The model's memory by sequence: who runs in it, which finished prefixes stay in it, and who has to go.

Owns the ids of resident sequences, the sharing of cells between them and eviction (least recently used, never one that
runs). A finished sequence stays under its id as a cached prefix until its cells or its id are needed, or until idle
cells are so many that they slow down those who run: llama.cpp's attention looks at every cell, if only to pass it by.
What is evicted goes to the host's memory, and comes back when somebody begins with it. All of it goes when nobody runs,
because the next one then gets cells in order: llama.cpp fills holes with the next cells of whoever runs, and the order
of cells decides how attention rounds.
"""

from __future__ import annotations

import heapq
from typing import Protocol

import numpy as np

from peernode.engine.worker.prefix_store import Blob, PrefixStore
from peernode.engine.worker.prefix_tree import PrefixTree
from peernode.engine.worker.sequence import Sequence, TokenArray

# Even one token: prefixes that were computed twice are merged, which leaves holes in the memory, and llama.cpp fills
# holes with the next cells of others, whose order then decides how their attention rounds.
LEAST_SHARED = 1
# So many cells of wrong drafts may lie about to keep the order of cells.
MOST_SHELVED = 512


class Cells(Protocol):
    """Which sequence holds which cells of a backend, named by their positions."""

    @property
    def sequences(self) -> int:
        """How many may be resident at once, or 0 where cells can be neither shared nor cut."""
        ...

    def forget(self, slot: int) -> None:
        """Free every cell of the sequence in ``slot``."""
        ...

    def cut(self, slot: int, position: int) -> None:
        """Free the cells of ``slot`` from ``position`` on."""
        ...

    def shelve(self, slot: int, position: int) -> None:
        """Take the cells of ``slot`` from ``position`` on away from it, but free them only with ``clear_shelf``."""
        ...

    def clear_shelf(self) -> None:
        """Free what was shelved."""
        ...

    def adopt(self, slot: int, source: int, begin: int, end: int) -> None:
        """Let ``slot`` use the cells of ``source`` from ``begin`` to ``end`` instead of its own."""
        ...

    def save(self, slot: int, begin: int, end: int) -> Blob | None:
        """A copy of the cells of ``slot`` from ``begin`` to ``end``; None where that fails."""
        ...

    def restore(self, slot: int, begin: int, end: int, data: Blob) -> bool:
        """Give ``slot`` those cells of ``data`` that lie from ``begin`` to ``end``; there must be room for all."""
        ...


class Residents:
    """``start`` and ``attach`` before a sequence computes, ``grew`` after a step, ``retire`` or ``drop`` at its end."""

    def __init__(
        self,
        cells: Cells,
        *,
        slots: int,
        kv_tokens: int,
        least_shared: int = LEAST_SHARED,
        store: PrefixStore | None = None,
        idle_cells: int | None = None,
        ordered: bool = False,
    ) -> None:
        """``idle_cells`` may stay beside those of running sequences; None is no limit. Without a store they all may.

        ``ordered``: the cells of each sequence should lie in their order, because that decides how they round.
        """
        self._ordered = ordered
        self._shelved = 0
        self._cells = cells
        self._kv_tokens = kv_tokens
        self._store = store or PrefixStore(0)
        self._idle_cells = idle_cells if self._store.limit else None
        self._least_shared = least_shared
        self.shares = cells.sequences > 0
        self._free = list(range(max(slots, cells.sequences)))
        self._cached: dict[int, None] = {}  # least recently used first
        self._own: dict[int, int] = {}  # cells of a running sequence that are not in the tree
        self._tree = PrefixTree()

    @property
    def used(self) -> int:
        """Cells in use, cached ones included."""
        return self._tree.size + sum(self._own.values()) + self._shelved

    @property
    def stored(self) -> int:
        """Tokens whose cells the host keeps."""
        return self._store.tokens

    @property
    def pinned(self) -> int:
        """Cells in use by running sequences."""
        return self._tree.pinned + sum(self._own.values())

    def start(self, sequence: Sequence) -> None:
        """Give it an id and all that is resident of its prompt."""
        if not self._own:
            self._clear_shelf()
            while self.tidy():
                pass
        if not self._free:
            self._evict()
        sequence.slot = heapq.heappop(self._free)
        self._own[sequence.slot] = 0
        self._tree.pin(sequence.slot)
        self.attach(sequence)
        self._restore(sequence)

    def credit(self, sequence: Sequence) -> int:
        """How many of the cells that the sequence needs are there and will stay."""
        if not self.shares:
            return 0
        length, _, pinned = self._tree.match(sequence.salt, sequence.feed[: sequence.sharable])
        length = sequence.layout.whole(length)
        return min(pinned, length) if length >= self._least_shared else 0

    def attach(self, sequence: Sequence) -> None:
        """Share what is resident of its prompt; only before it has computed anything of its own."""
        if not self.shares:
            return
        feed = sequence.feed[: sequence.sharable]
        length, holder, _ = self._tree.match(sequence.salt, feed)
        length = sequence.layout.whole(length)
        if length < self._least_shared or length <= sequence.in_memory:
            return
        if holder in self._cached:
            self._cached[holder] = self._cached.pop(holder)
        self._hold(sequence, length)
        sequence.in_memory = length

    def grew(self, sequence: Sequence, tokens: int) -> None:
        """It computed ``tokens`` more; those of its prompt can be shared from now on."""
        self._own[sequence.slot] += tokens
        if self.shares and sequence.in_memory <= len(sequence.feed):
            self._publish(sequence)

    def tidy(self) -> bool:
        """Move a block of what lies idle to the host, if there is too much of it; so little that no answer waits."""
        if not self._own:
            self._clear_shelf()
        if self._idle_cells is None or self.used - self.pinned <= (self._idle_cells if self._own else 0):
            return False
        oldest = next((slot for slot in self._cached if self._is_movable(slot)), None)
        if oldest is None:
            return False
        if self._save(oldest, blocks=1):
            self._discard(oldest)
        return True

    def make_room(self, cells: int) -> bool:
        """Evict until ``cells`` are free; False when nothing is left to evict."""
        if self._kv_tokens - self.used < cells:
            self._clear_shelf()
        while self._kv_tokens - self.used < cells:
            if not self._evict():
                return False
        return True

    def evict_all(self) -> bool:
        """Whether there was anything to evict."""
        found = bool(self._cached or self._shelved)
        self._clear_shelf()
        while self._evict():
            pass
        return found

    def retire(self, sequence: Sequence) -> None:
        """It ended well; what it computed stays for others."""
        slot = sequence.slot
        if not self.shares or sequence.in_memory < self._least_shared:
            self.drop(sequence)
            return
        if self._publish(sequence) < sequence.in_memory:
            self.cut(sequence)
        if self._tree.is_covered(slot):
            self.drop(sequence)
            return
        del self._own[slot]
        self._tree.unpin(slot)
        self._cached[slot] = None

    def drop(self, sequence: Sequence) -> None:
        """Nothing of it stays but what others share."""
        del self._own[sequence.slot]
        self._free_id(sequence.slot)

    def reject(self, sequence: Sequence, drafts: int) -> None:
        """Its last ``drafts`` were wrong. Holes that they leave would be filled by others, out of their order."""
        if not self._ordered or len(self._own) < 2:
            self.cut(sequence)
            return
        if self._shelved + drafts > MOST_SHELVED:
            self._clear_shelf()
        self._cells.shelve(sequence.slot, sequence.layout.position(sequence.in_memory))
        self._shelved += drafts

    def cut(self, sequence: Sequence) -> None:
        """Undo what a failed decode may have left beyond ``in_memory``; an image that was begun is begun anew."""
        kept = sequence.layout.whole(sequence.in_memory)
        self._own[sequence.slot] -= sequence.in_memory - kept
        sequence.in_memory = kept
        self._cells.cut(sequence.slot, sequence.layout.position(kept))

    def _clear_shelf(self) -> None:
        if self._shelved:
            self._cells.clear_shelf()
            self._shelved = 0

    def _publish(self, sequence: Sequence) -> int:
        """Let others share what it has, but for an image that is not whole; returns how much that is."""
        held = self._tree.held(sequence.slot)
        length = sequence.layout.whole(sequence.in_memory)
        self._hold(sequence, length)
        self._own[sequence.slot] -= length - held
        return length

    def _hold(self, sequence: Sequence, length: int) -> None:
        layout = sequence.layout
        for overlap in self._tree.hold(sequence.slot, sequence.salt, sequence.tokens()[:length]):
            end = layout.whole(overlap.end)
            if end > overlap.begin:
                begin_at, end_at = layout.position(overlap.begin), layout.position(end)
                self._cells.adopt(sequence.slot, overlap.source, begin_at, end_at)

    def _restore(self, sequence: Sequence) -> None:
        """Fetch what the host keeps of its prompt beyond what is resident."""
        if not self.shares:
            return
        feed = sequence.feed[: sequence.sharable]
        for block in self._store.match(sequence.salt, _text_before_images(feed)):
            begin = sequence.in_memory
            if block.end <= begin:
                continue
            if not self.make_room(self._store.block_tokens) or not self._cells.restore(
                sequence.slot, begin, block.end, block.data
            ):
                return
            self._hold(sequence, block.end)
            sequence.in_memory = block.end

    def _is_movable(self, slot: int) -> bool:
        """Whether the host can keep all of it: places of images in the memory are not those in the prompt."""
        _, tokens = self._tree.tokens(slot)
        return len(_text_before_images(tokens)) == len(tokens)

    def _save(self, slot: int, *, blocks: int | None = None) -> bool:
        """Copy what the host does not keep yet of ``slot``, at most so many blocks; whether that was all."""
        salt, tokens = self._tree.tokens(slot)
        tokens = _text_before_images(tokens)
        while (run := self._store.missing(salt, tokens)) is not None:
            if blocks == 0:
                return False
            data = self._cells.save(slot, *run) if self._store.limit else None
            if data is None or not self._store.put(salt, tokens[: run[1]], data):
                return True
            blocks = None if blocks is None else blocks - 1
        return True

    def _evict(self) -> bool:
        if not self._cached:
            return False
        slot = next(iter(self._cached))
        self._save(slot)
        self._discard(slot)
        return True

    def _discard(self, slot: int) -> None:
        del self._cached[slot]
        self._free_id(slot)

    def _free_id(self, slot: int) -> None:
        self._cells.forget(slot)
        self._tree.remove(slot)
        heapq.heappush(self._free, slot)


def _text_before_images(tokens: TokenArray) -> TokenArray:
    """Positions are those of the prompt until the first cell of an image, which is negative."""
    images = np.flatnonzero(tokens < 0)
    return tokens[: int(images[0])] if len(images) else tokens
