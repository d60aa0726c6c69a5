"""Chooses the next token so that anyone can replay the choice.

Bias and penalties first (``penalties``); then, at temperature 0, the largest logit wins. Otherwise: the 256 largest
logits, cut by top-k, top-p, min-p and top-a on their untempered distribution (``candidates``; llama.cpp's order),
divided by the temperature, plus Gumbel noise that is a hash of (seed, position in the answer, token id); the largest
sum wins. The noise depends on nothing else, so neither the other sequences of a batch nor a change of provider alters
the choice. Ties go to the lower token id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from peernode.chat.sampling import Sampling
from peernode.engine.worker.candidates import Floats, largest, survivors
from peernode.engine.worker.logprobs import LogprobReporter
from peernode.engine.worker.penalties import Adjustments
from peernode.wire.logprobs import Logprobs

SAMPLER_VERSION = "gumbel/2"

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
    """Everything that a choice depends on, but for the logits and the position. ``top_k`` 0 is no limit."""

    temperature: float
    top_p: float
    seed: int
    top_k: int = 0
    min_p: float = 0.0
    top_a: float = 0.0

    @property
    def cuts(self) -> bool:
        return self.top_p < 1.0 or self.min_p > 0.0 or self.top_a > 0.0


@dataclass(frozen=True, slots=True)
class Choice:
    """One chosen token; ``logprobs`` has one entry if the job asked for them, else none."""

    token: int
    logprobs: list[Logprobs] = field(default_factory=list)


class Sampler:
    """Chooses the tokens of one answer in turn, and remembers them where penalties need it."""

    def __init__(
        self,
        parameters: SamplerParameters,
        *,
        adjustments: Adjustments | None = None,
        reporter: LogprobReporter | None = None,
    ) -> None:
        self._parameters = parameters
        self._adjustments = adjustments
        self._reporter = reporter

    @classmethod
    def of(
        cls,
        sampling: Sampling,
        seed: int,
        *,
        prompt: Sequence[int] | NDArray[np.int32] = (),
        earlier: Sequence[int] = (),
        reporter: LogprobReporter | None = None,
    ) -> Sampler:
        """The sampler that a request asks for; ``earlier`` are the answer's tokens so far, not part of ``prompt``."""
        parameters = SamplerParameters(
            sampling.temperature, sampling.top_p, seed, sampling.top_k, sampling.min_p, sampling.top_a
        )
        return cls(parameters, adjustments=Adjustments.of(sampling, prompt=prompt, earlier=earlier), reporter=reporter)

    def choose(self, logits: Floats, position: int) -> Choice:
        """The token for ``position`` in the answer. Raises NonFiniteLogits."""
        adjustments = self._adjustments
        token = choose(logits if adjustments is None else adjustments.applied(logits), self._parameters, position)
        self.remember(token)
        return Choice(token, [] if self._reporter is None else [self._reporter.report(logits, token)])

    def force(self, token: int) -> list[Logprobs]:
        """A token that had to come: counted like a choice, and certain."""
        self.remember(token)
        return [] if self._reporter is None else [self._reporter.certain(token)]

    def remember(self, token: int) -> None:
        """Count a token that came into the answer without a choice."""
        if self._adjustments is not None:
            self._adjustments.remember(token)


def choose(logits: Floats, parameters: SamplerParameters, position: int) -> int:
    """The token id chosen for output token number ``position`` (0 is the answer's first). Pure."""
    best = int(logits.argmax())
    if not np.isfinite(logits[best]):
        raise NonFiniteLogits
    if parameters.temperature <= 0.0:
        return best
    ids = largest(logits)
    if parameters.top_k:
        ids = ids[: parameters.top_k]
    values = logits[ids].astype(np.float64)
    if parameters.cuts:
        keep = survivors(values, top_p=parameters.top_p, min_p=parameters.min_p, top_a=parameters.top_a)
        ids, values = ids[:keep], values[:keep]
    scores = values / parameters.temperature + gumbel(parameters.seed, position, ids)
    return int(ids[scores.argmax()])


def gumbel(seed: int, position: int, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standard Gumbel noise, one value for each token id: splitmix64 keyed by seed and position."""
    key = np.uint64(_mix_int(_mix_int(seed & _WORD) + position * _GOLDEN))
    words = _mix(key + (ids.astype(np.uint64) + _ONE) * _GOLDEN_STEP)
    uniform = ((words >> _S11).astype(np.float64) + 0.5) * 2.0**-53
    return np.asarray(-np.log(-np.log(uniform)), dtype=np.float64)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> _S30)) * _MIX_1
    words = (words ^ (words >> _S27)) * _MIX_2
    return words ^ (words >> _S31)


def _mix_int(word: int) -> int:
    word &= _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return word ^ (word >> 31)
