"""How the next token is chosen, as the client asked for it, in one canonical form.

Fractions are held as millionths, so that parameters have one encoding and all sides digest the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from peernode.wire import canonical
from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader

MICRO = 1_000_000
MAX_TEMPERATURE = 2
MAX_PENALTY = 2
MAX_BIAS = 100
MAX_BIASED_TOKENS = 300
MAX_TOP_K = (1 << 31) - 1
_MAX_TOKEN_ID = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Sampling:
    """``temperature`` 0 is argmax; every other default asks for nothing. ``top_k`` 0 is no limit.

    ``logit_bias`` holds (token id, millionths) in rising order of ids; a bias of zero is left out.
    """

    temperature_micro: int = MICRO
    top_p_micro: int = MICRO
    top_k: int = 0
    min_p_micro: int = 0
    top_a_micro: int = 0
    frequency_penalty_micro: int = 0
    presence_penalty_micro: int = 0
    repetition_penalty_micro: int = MICRO
    logit_bias: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(
        cls,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
        top_a: float = 0.0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        repetition_penalty: float = 1.0,
        logit_bias: Mapping[int, float] | None = None,
    ) -> Sampling:
        biases = ((token, _micro(bias)) for token, bias in sorted((logit_bias or {}).items()))
        return cls(
            _micro(temperature),
            _micro(top_p),
            top_k,
            _micro(min_p),
            _micro(top_a),
            _micro(frequency_penalty),
            _micro(presence_penalty),
            max(1, _micro(repetition_penalty)),  # logits are divided by it
            tuple((token, bias) for token, bias in biases if bias),
        )

    @property
    def temperature(self) -> float:
        return self.temperature_micro / MICRO

    @property
    def top_p(self) -> float:
        return self.top_p_micro / MICRO

    @property
    def min_p(self) -> float:
        return self.min_p_micro / MICRO

    @property
    def top_a(self) -> float:
        return self.top_a_micro / MICRO

    @property
    def frequency_penalty(self) -> float:
        return self.frequency_penalty_micro / MICRO

    @property
    def presence_penalty(self) -> float:
        return self.presence_penalty_micro / MICRO

    @property
    def repetition_penalty(self) -> float:
        return self.repetition_penalty_micro / MICRO

    @property
    def bias(self) -> dict[int, float]:
        return {token: micro / MICRO for token, micro in self.logit_bias}

    @property
    def adjusts(self) -> bool:
        """Whether the logits are changed before anything is chosen."""
        return bool(
            self.frequency_penalty_micro
            or self.presence_penalty_micro
            or self.repetition_penalty_micro != MICRO
            or self.logit_bias
        )

    def to_fields(self) -> list[Value]:
        return [
            self.temperature_micro,
            self.top_p_micro,
            self.top_k,
            self.min_p_micro,
            self.top_a_micro,
            self.frequency_penalty_micro,
            self.presence_penalty_micro,
            self.repetition_penalty_micro,
            [[token, bias] for token, bias in self.logit_bias],
        ]

    @classmethod
    def from_fields(cls, value: Value) -> Sampling:
        """Raises BadSchema unless every parameter is in its range and the form is the canonical one."""
        read = FieldReader("sampling", value)
        penalty = MAX_PENALTY * MICRO
        sampling = cls(
            read.integer("temperature", most=MAX_TEMPERATURE * MICRO),
            read.integer("top_p", most=MICRO),
            read.integer("top_k", most=MAX_TOP_K),
            read.integer("min_p", most=MICRO),
            read.integer("top_a", most=MICRO),
            read.integer("frequency_penalty", least=-penalty, most=penalty),
            read.integer("presence_penalty", least=-penalty, most=penalty),
            read.integer("repetition_penalty", least=1, most=penalty),
            read.items("logit_bias", _read_bias, most=MAX_BIASED_TOKENS),
        )
        read.done()
        ids = [token for token, _ in sampling.logit_bias]
        if any(one >= other for one, other in itertools.pairwise(ids)):
            raise BadSchema("logit_bias is not in rising order of token ids.")
        return sampling

    @property
    def digest(self) -> bytes:
        """Names the sampler's parameters in a receipt."""
        return canonical.digest(canonical.encode(self.to_fields()))


DEFAULTS = Sampling()


def _micro(fraction: float) -> int:
    return round(fraction * MICRO)


def _read_bias(value: Value) -> tuple[int, int]:
    read = FieldReader("token bias", value)
    token = read.integer("token id", most=_MAX_TOKEN_ID)
    bias = read.integer("bias", least=-MAX_BIAS * MICRO, most=MAX_BIAS * MICRO)
    read.done()
    if not bias:
        raise BadSchema("A token bias is zero.")
    return token, bias
