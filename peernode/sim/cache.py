"""A provider's prefix cache: blocks of prompts, the longest unused forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


class Cache:
    """Holds at most ``most`` blocks. A block stands for itself and all before it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[bytes, None] = OrderedDict()

    def held(self, blocks: Sequence[bytes]) -> int:
        """How many from the first on are here."""
        count = 0
        for block in blocks:
            if block not in self._held:
                break
            count += 1
        return count

    def take(self, blocks: Sequence[bytes]) -> None:
        """They are computed, or used again. The end of a prompt is forgotten before its beginning."""
        for block in reversed(blocks):
            self._held[block] = None
            self._held.move_to_end(block)
        while len(self._held) > self._most:
            self._held.popitem(last=False)
