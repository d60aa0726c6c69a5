"""Chooses the next token so that anyone can replay the choice.

At temperature 0 the largest logit wins. Otherwise: the 256 largest logits, cut by top_p on their untempered
distribution (llama.cpp's order), divided by the temperature, plus Gumbel noise that is a hash of (seed, position in
the answer, token id); the largest sum wins. The noise depends on nothing else, so neither the other sequences of a
batch nor a change of provider alters the choice. Pure; ties go to the lower token id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

SAMPLER_VERSION = "gumbel/1"
MAX_CANDIDATES = 256

Floats: TypeAlias = NDArray[np.float32]
_GROUP = 64
_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_GOLDEN_STEP, _ONE = np.uint64(_GOLDEN), np.uint64(1)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


class NonFiniteLogits(ArithmeticError):
    """The model produced NaN or infinity where a choice was due."""


@dataclass(frozen=True, slots=True)
class SamplerParameters:
    temperature: float
    top_p: float
    seed: int


def choose(logits: Floats, parameters: SamplerParameters, position: int) -> int:
    """The token id chosen for output token number ``position`` (0 is the answer's first)."""
    best = int(logits.argmax())
    if not np.isfinite(logits[best]):
        raise NonFiniteLogits
    if parameters.temperature <= 0.0:
        return best
    ids = _candidates(logits)
    values = logits[ids].astype(np.float64)
    if parameters.top_p < 1.0:
        ids, values = _nucleus(ids, values, parameters.top_p)
    scores = values / parameters.temperature + gumbel(parameters.seed, position, ids)
    return int(ids[scores.argmax()])


def gumbel(seed: int, position: int, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standard Gumbel noise, one value for each token id: splitmix64 keyed by seed and position."""
    key = np.uint64(_mix_int(_mix_int(seed & _WORD) + position * _GOLDEN))
    words = _mix(key + (ids.astype(np.uint64) + _ONE) * _GOLDEN_STEP)
    uniform = ((words >> _S11).astype(np.float64) + 0.5) * 2.0**-53
    return np.asarray(-np.log(-np.log(uniform)), dtype=np.float64)


def _candidates(logits: Floats) -> NDArray[np.int64]:
    """Ids of the 256 largest logits, largest first.

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


def _nucleus(
    ids: NDArray[np.int64], values: NDArray[np.float64], top_p: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The shortest head of the candidates that holds ``top_p`` of their probability; at least one."""
    weights = np.exp(values - values[0])
    cumulative = np.cumsum(weights)
    keep = int(np.searchsorted(cumulative, top_p * cumulative[-1], side="left")) + 1
    return ids[:keep], values[:keep]


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> _S30)) * _MIX_1
    words = (words ^ (words >> _S27)) * _MIX_2
    return words ^ (words >> _S31)


def _mix_int(word: int) -> int:
    word &= _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)
