"""Which tokens are in the running: the largest logits, and the cuts that leave fewer of them. Pure.

Each cut sees the untempered distribution over what the cut before it left, in the order top-k, top-p, min-p, top-a.
Candidates are ids and logits, largest first, ties by the lower id; at least one always stays.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

MAX_CANDIDATES = 256

Floats: TypeAlias = NDArray[np.float32]
Ids: TypeAlias = NDArray[np.int64]
Values: TypeAlias = NDArray[np.float64]
_GROUP = 64


def largest(logits: Floats) -> Ids:
    """Ids of the 256 largest logits.

    The 256th largest of the maxima of small groups is a floor that at least 256 logits reach, and few more; only
    those are sorted. That costs one pass over the vocabulary instead of a partition of it. A group is a column
    here, because numpy takes maxima of columns in vector registers and of short rows one by one.
    """
    vocabulary = logits.shape[0]
    whole = vocabulary - vocabulary % _GROUP
    if whole // _GROUP > MAX_CANDIDATES:
        maxima = logits[:whole].reshape(_GROUP, -1).max(axis=0)
        floor = np.partition(maxima, -MAX_CANDIDATES)[-MAX_CANDIDATES]
        ids = np.flatnonzero(logits >= floor)
    else:
        ids = np.arange(vocabulary)
    order = np.argsort(-logits[ids], kind="stable")[:MAX_CANDIDATES]
    return np.asarray(ids[order], dtype=np.int64)


def survivors(values: Values, *, top_p: float, min_p: float, top_a: float) -> int:
    """How many of the sorted ``values`` (logits) top-p, min-p and top-a leave, one after the other.

    All three keep a head: top-p the shortest that holds ``top_p`` of the probability, min-p what has at least
    ``min_p`` of the likeliest one's probability, top-a what has at least ``top_a`` times its square.
    """
    weights = np.exp(values - values[0])
    if top_p < 1.0:
        cumulative = np.cumsum(weights)
        weights = weights[: int(np.searchsorted(cumulative, top_p * cumulative[-1], side="left")) + 1]
    if min_p > 0.0:
        weights = weights[: _head(weights, min_p)]
    if top_a > 0.0:
        # p ≥ a·p₁² where p = w/Σw and w₁ = 1 is w ≥ a/Σw.
        weights = weights[: _head(weights, top_a / float(weights.sum()))]
    return len(weights)


def _head(weights: Values, floor: float) -> int:
    """How many of the falling ``weights`` reach ``floor``; the first always does."""
    return max(1, int(np.count_nonzero(weights >= floor)))
