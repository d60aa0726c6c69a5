"""What a sequence's own past and its client's wishes add to the model's logits, before anything is chosen.

Owns bias and penalties and the memory they need. In this order, in single precision:

* ``repetition_penalty`` r, for every token of the prompt or of the answer so far: a positive logit is divided by r,
  any other multiplied by it. The prompt counts with all that the template wrote (as in Hugging Face's and vLLM's).
* ``frequency_penalty`` times the number of times that the token came in the answer so far, and ``presence_penalty``
  once if it came at all, are subtracted (as OpenAI and OpenRouter define them: the prompt does not count).
* ``logit_bias`` of the token is added.

Earlier parts of a continued answer are answer, not prompt. Work per choice grows with the tokens seen, not with the
vocabulary, but for one copy of the logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from peernode.chat.sampling import Sampling

_ROOM = 256


class Adjustments:
    """The adjustments of one sequence; ``remember`` every token of its answer in turn."""

    def __init__(
        self,
        *,
        frequency: float = 0.0,
        presence: float = 0.0,
        repetition: float = 1.0,
        bias: Mapping[int, float] | None = None,
        prompt: Sequence[int] | NDArray[np.int32] = (),
        earlier: Sequence[int] = (),
    ) -> None:
        self._frequency = np.float32(frequency)
        self._presence = np.float32(presence)
        self._repetition = np.float32(repetition)
        self._penalises = frequency != 0.0 or presence != 0.0
        self._remembers = self._penalises or repetition != 1.0
        wishes = dict(bias or {})
        self._bias_ids = np.fromiter(wishes.keys(), np.int64, len(wishes))
        self._bias = np.fromiter(wishes.values(), np.float32, len(wishes))
        seen = np.unique(np.asarray(prompt, np.int64)) if repetition != 1.0 else np.zeros(0, np.int64)
        self._place = {int(token): at for at, token in enumerate(seen)}
        self._ids = np.concatenate([seen, np.zeros(_ROOM, np.int64)])
        self._counts = np.zeros(len(self._ids), np.float32)
        for token in earlier:
            self.remember(token)

    @classmethod
    def of(
        cls, sampling: Sampling, *, prompt: Sequence[int] | NDArray[np.int32] = (), earlier: Sequence[int] = ()
    ) -> Adjustments | None:
        """None when ``sampling`` asks for none, so that nobody pays for what is not used."""
        if not sampling.adjusts:
            return None
        return cls(
            frequency=sampling.frequency_penalty,
            presence=sampling.presence_penalty,
            repetition=sampling.repetition_penalty,
            bias=sampling.bias,
            prompt=prompt,
            earlier=earlier,
        )

    def remember(self, token: int) -> None:
        """Count one token of the answer."""
        if not self._remembers:
            return
        place = self._place.setdefault(token, len(self._place))
        if place == len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._ids[place] = token
        self._counts[place] += 1

    def applied(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """A new array; ``logits`` stay as the model made them."""
        adjusted = logits.copy()
        seen = len(self._place)
        if seen:
            ids, counts = self._ids[:seen], self._counts[:seen]
            values = adjusted[ids]
            if self._repetition != 1.0:
                values = np.where(values > 0, values / self._repetition, values * self._repetition)
            if self._penalises:
                values -= self._frequency * counts + self._presence * (counts > 0)
            adjusted[ids] = values
        if len(self._bias_ids):
            adjusted[self._bias_ids] += self._bias
        return adjusted
