"""How many prompt tokens a decode step may carry, so that neither streaming nor a cancellation waits long.

Owns the measured cost of a prompt's token and of a step that decodes, and with them the engine's advertised rates.
The clock is passed in.
"""

from __future__ import annotations

from peernode.engine.worker.row_costs import RowCosts

TARGET_STEP_S = 0.15
# Steps vary: aiming a little below the target keeps the longest hundredth of them near it.
_AIM = 0.94
_WEIGHT = 0.1
_FIRST_CHUNK = 64
_LEAST_CHUNK = 4
# Alone, shorter prompts say more about the fixed cost of a step than about the cost of a token.
_TELLING_PREFILL = 32
# Where a step takes longer than the target as it is, drafts may make it so many times as long.
_DRAFTS_MOST = 2.0


class Pace:
    """Feed it every step; ask it for the next prompt budget and for the cost of rows. Times in seconds."""

    def __init__(self, *, target_s: float = TARGET_STEP_S) -> None:
        self._aimed_s = target_s * _AIM
        self._decode_step_s = 0.0
        self._prefill_token_s = 0.0
        self._row_costs = RowCosts()

    @property
    def decode_tps(self) -> float:
        """Of one sequence, in whatever company there was lately."""
        return 1.0 / self._decode_step_s if self._decode_step_s else 0.0

    @property
    def prefill_tps(self) -> float:
        return 1.0 / self._prefill_token_s if self._prefill_token_s else 0.0

    def prefill_budget(self, *, decoding: bool) -> int:
        if not self._prefill_token_s:
            return _FIRST_CHUNK
        left_s = self._aimed_s - (self._decode_step_s if decoding else 0.0)
        return max(_LEAST_CHUNK, int(left_s / self._prefill_token_s))

    def rows_s(self, rows: int) -> float:
        """A step that decodes ``rows`` rows, as measured or guessed from what was; 0 before anything was."""
        return self._row_costs.seconds(rows)

    def bears(self, seconds: float, *, bare: float) -> bool:
        """Whether a step may take so long with drafts that takes ``bare`` without."""
        return seconds <= max(self._aimed_s, _DRAFTS_MOST * bare)

    def observe(self, *, decoded: int, prefilled: int, seconds: float, drafted: int = 0) -> None:
        """A step took ``seconds`` for ``decoded`` rows of answers (``drafted`` are drafts) and ``prefilled`` others."""
        if decoded and not prefilled:
            self._row_costs.observe(decoded, seconds)
            if not drafted:
                self._decode_step_s = _average(self._decode_step_s, seconds, _WEIGHT)
        elif prefilled >= (_LEAST_CHUNK if decoded and self._decode_step_s else _TELLING_PREFILL):
            own_s = max(seconds - (self._decode_step_s if decoded else 0.0), seconds * 0.1)
            # Prompts get dearer as they get longer, so the estimate must follow however small the pieces are.
            weight = min(0.5, max(_WEIGHT, prefilled / 512))
            self._prefill_token_s = _average(self._prefill_token_s, own_s / prefilled, weight)


def _average(old: float, new: float, weight: float) -> float:
    return new if not old else old + weight * (new - old)
