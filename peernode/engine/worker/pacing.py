"""How many prompt tokens a decode step may carry, so that neither streaming nor a cancellation waits long.

Owns the measured cost of steps, and with it the engine's advertised rates. The clock is passed in.
"""

from __future__ import annotations

TARGET_STEP_S = 0.25
_WEIGHT = 0.1
_FIRST_CHUNK = 128
_LEAST_CHUNK = 16
# Shorter prompts say more about the fixed cost of a step than about the cost of a token.
_TELLING_PREFILL = 32


class Pace:
    """Feed it every step; ask it for the next prompt budget."""

    def __init__(self, *, target_s: float = TARGET_STEP_S) -> None:
        self._target_s = target_s
        self._decode_step_s = 0.0
        self._prefill_token_s = 0.0

    @property
    def decode_tps(self) -> float:
        return 1.0 / self._decode_step_s if self._decode_step_s else 0.0

    @property
    def prefill_tps(self) -> float:
        return 1.0 / self._prefill_token_s if self._prefill_token_s else 0.0

    def prefill_budget(self, *, decoding: bool) -> int:
        if not self._prefill_token_s:
            return _FIRST_CHUNK
        left_s = self._target_s - (self._decode_step_s if decoding else 0.0)
        return max(_LEAST_CHUNK, int(left_s / self._prefill_token_s))

    def observe(self, *, decoded: int, prefilled: int, seconds: float) -> None:
        """One step took ``seconds`` for ``decoded`` running sequences and ``prefilled`` prompt tokens."""
        if decoded and not prefilled:
            self._decode_step_s = _average(self._decode_step_s, seconds, _WEIGHT)
        elif prefilled >= _TELLING_PREFILL:
            own_s = max(seconds - (self._decode_step_s if decoded else 0.0), seconds * 0.1)
            weight = min(0.5, prefilled / 512)
            self._prefill_token_s = _average(self._prefill_token_s, own_s / prefilled, weight)


def _average(old: float, new: float, weight: float) -> float:
    return new if not old else old + weight * (new - old)
