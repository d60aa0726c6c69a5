"""How many prompt tokens a decode step may carry, so that neither streaming nor a cancellation waits long.

Owns the measured cost of steps: of a prompt token, of a step that decodes so many rows, and with them the engine's
advertised rates. The clock is passed in.
"""

from __future__ import annotations

TARGET_STEP_S = 0.15
# Steps vary: aiming a little below the target keeps the longest hundredth of them near it.
_AIM = 0.94
_WEIGHT = 0.1
_FIRST_CHUNK = 64
_LEAST_CHUNK = 4
# Alone, shorter prompts say more about the fixed cost of a step than about the cost of a token.
_TELLING_PREFILL = 32
# What a row costs beside another before anybody has measured it, in steps of one row.
_ROW_GUESS = 0.5


class Pace:
    """Feed it every step; ask it for the next prompt budget and for the cost of rows. Times in seconds."""

    def __init__(self, *, target_s: float = TARGET_STEP_S) -> None:
        self._aimed_s = target_s * _AIM
        self._decode_step_s = 0.0
        self._prefill_token_s = 0.0
        self._rows_s: dict[int, float] = {}

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
        """A step that decodes ``rows`` rows, as measured, or else guessed from what was."""
        measured = self._rows_s.get(_bucket(rows))
        if measured:
            return measured
        one_s = self._rows_s.get(1) or self._decode_step_s or 1.0
        return one_s * (1.0 + _ROW_GUESS * (rows - 1))

    def observe(self, *, decoded: int, prefilled: int, seconds: float, drafted: int = 0) -> None:
        """A step took ``seconds`` for ``decoded`` rows of answers (``drafted`` are drafts) and ``prefilled`` others."""
        if decoded and not prefilled:
            at = _bucket(decoded)
            self._rows_s[at] = _average(self._rows_s.get(at, 0.0), seconds, _WEIGHT)
            if not drafted:
                self._decode_step_s = _average(self._decode_step_s, seconds, _WEIGHT)
        elif prefilled >= (_LEAST_CHUNK if decoded and self._decode_step_s else _TELLING_PREFILL):
            own_s = max(seconds - (self._decode_step_s if decoded else 0.0), seconds * 0.1)
            # Prompts get dearer as they get longer, so the estimate must follow however small the pieces are.
            weight = min(0.5, max(_WEIGHT, prefilled / 512))
            self._prefill_token_s = _average(self._prefill_token_s, own_s / prefilled, weight)


def _bucket(rows: int) -> int:
    """1, 2, 4, 8, …: the smallest that holds them."""
    return 1 << max(0, rows - 1).bit_length()


def _average(old: float, new: float, weight: float) -> float:
    return new if not old else old + weight * (new - old)
