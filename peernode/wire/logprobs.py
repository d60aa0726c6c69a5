"""Log-probabilities of output tokens as they travel, bytes included: whoever reads them need not have the vocabulary.

Held as millionths like every fraction on the wire. They are the provider's word; no receipt vouches for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire.canonical import Value
from peernode.wire.fields import FieldReader

MICRO = 1_000_000
MAX_ALTERNATIVES = 20
MAX_PIECE_BYTES = 4096
LEAST_MICRO = -9999 * MICRO  # what OpenAI says of a token that could not have come
_MAX_TOKEN = (1 << 31) - 1
_HEAD_BYTES = 18  # two integers of up to nine and five bytes, and what a list and a byte string begin with


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token that came or could have come at a place, and the natural logarithm of its probability there."""

    id: int
    micro: int
    piece: bytes

    @property
    def logprob(self) -> float:
        return self.micro / MICRO

    def to_fields(self) -> list[Value]:
        return [self.id, self.micro, self.piece]

    @classmethod
    def from_fields(cls, value: Value) -> TokenLogprob:
        read = FieldReader("token log-probability", value)
        made = cls(
            read.integer("token id", most=_MAX_TOKEN),
            read.integer("millionths", least=LEAST_MICRO, most=0),
            read.octets("piece", most=MAX_PIECE_BYTES),
        )
        read.done()
        return made


@dataclass(frozen=True, slots=True)
class Logprobs:
    """The token that was output, and the likeliest ones at its place, likeliest first (it may be among them)."""

    chosen: TokenLogprob
    top: tuple[TokenLogprob, ...] = ()

    def to_fields(self) -> list[Value]:
        return [self.chosen.to_fields(), [entry.to_fields() for entry in self.top]]

    @classmethod
    def from_fields(cls, value: Value) -> Logprobs:
        read = FieldReader("log-probabilities", value)
        chosen = TokenLogprob.from_fields(read.nested("chosen"))
        made = cls(chosen, read.items("top", TokenLogprob.from_fields, most=MAX_ALTERNATIVES))
        read.done()
        return made

    @property
    def size(self) -> int:
        """About how many bytes this takes in a message."""
        return sum(_HEAD_BYTES + len(entry.piece) for entry in (self.chosen, *self.top))
