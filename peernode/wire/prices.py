"""What tokens cost: three integer prices, and the one rounding rule.

Prices are micro-credits per million tokens. An amount is the sum over the three kinds of tokens, rounded up once, to
whole micro-credits, so splitting a bill never makes it cheaper; an answer of zero completion tokens costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.wire.canonical import Value
from peernode.wire.fields import FieldReader

PER = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Micro-credits per million prompt, cached-prompt and completion tokens."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0

    def amount(self, *, prompt_tokens: int, cached_tokens: int, completion_tokens: int, embedded: bool = False) -> int:
        """Micro-credits for a job; ``cached_tokens`` is the part of ``prompt_tokens`` that was already computed.

        An answer without a token is free, unless it is the embeddings that were asked for.
        """
        if completion_tokens == 0 and not embedded:
            return 0
        total = (
            (prompt_tokens - cached_tokens) * self.prompt
            + cached_tokens * self.cached
            + completion_tokens * self.completion
        )
        return -(-total // PER)

    def to_fields(self) -> list[Value]:
        return [self.prompt, self.cached, self.completion]

    @classmethod
    def from_fields(cls, value: Value) -> Prices:
        read = FieldReader("price list", value)
        prices = cls(read.integer("prompt"), read.integer("cached"), read.integer("completion"))
        read.done()
        return prices
