"""Log-probabilities as the model gave them: log-softmax of the raw logits, before bias, penalties and temperature.

Under a grammar they are those of the tokens that it allows, so that a token that it forces is certain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from peernode.engine.worker.candidates import largest
from peernode.wire.logprobs import LEAST_MICRO, MAX_PIECE_BYTES, MICRO, Logprobs, TokenLogprob


class LogprobReporter:
    """Reports one output token and the ``alternatives`` likeliest at its place (0 … 20)."""

    def __init__(self, pieces: Sequence[bytes], alternatives: int) -> None:
        self._pieces = pieces
        self._alternatives = alternatives

    def report(self, logits: NDArray[np.float32], token: int) -> Logprobs:
        peak = logits.max()
        # The sum of tens of thousands of small numbers needs the double precision; the numbers themselves do not.
        normal = float(peak) + float(np.log(np.exp(logits - peak).sum(dtype=np.float64)))
        likeliest = largest(logits)[: self._alternatives] if self._alternatives else ()
        return Logprobs(
            self._entry(token, float(logits[token]) - normal),
            tuple(self._entry(int(at), float(logits[at]) - normal) for at in likeliest if np.isfinite(logits[at])),
        )

    def certain(self, token: int) -> Logprobs:
        entry = self._entry(token, 0.0)
        return Logprobs(entry, (entry,) if self._alternatives else ())

    def _entry(self, token: int, logprob: float) -> TokenLogprob:
        # The comparison comes before the rounding, for minus infinity has no millionths.
        micro = round(logprob * MICRO) if logprob * MICRO > LEAST_MICRO else LEAST_MICRO
        return TokenLogprob(token, min(micro, 0), self._pieces[token][:MAX_PIECE_BYTES])
