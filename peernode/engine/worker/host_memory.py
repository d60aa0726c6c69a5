"""Memory for what is kept for long and then let go in another order: each large piece is a mapping of its own.

In malloc's heap such pieces would leave gaps between them that nothing fits into: a fifth more than what is kept.
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

# From here on what a mapping wastes of its last page does not count.
_LARGE = 1 << 17


def kept_bytes(size: int) -> NDArray[np.uint8]:
    """``size`` bytes of any content; all of them go back to the system when nobody holds the array any more."""
    if size < _LARGE:
        return np.empty(size, np.uint8)
    return np.frombuffer(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
