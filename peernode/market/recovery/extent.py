"""How far a part got: so many tokens of so large a prompt, and the digests of what they were. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from peernode.wire.acknowledgement import Acknowledgement
from peernode.wire.receipt import Receipt, ids_digest


@dataclass(frozen=True, slots=True)
class Extent:
    """What a receipt for exactly this much says of prompt and output."""

    prompt_tokens: int
    cached_tokens: int
    tokens: int
    ids_digest: bytes
    text_digest: bytes

    @classmethod
    def acknowledged(cls, word: Acknowledgement) -> Extent:
        return cls(word.prompt_tokens, word.cached_tokens, word.tokens, word.ids_digest, word.text_digest)

    @classmethod
    def billed(cls, receipt: Receipt) -> Extent:
        return cls(
            receipt.prompt_tokens,
            receipt.cached_tokens,
            receipt.completion_tokens,
            receipt.output_ids_digest,
            receipt.text_digest,
        )


@dataclass(slots=True)
class Trail:
    """What went over the wire, frame by frame; ``prompt`` is (tokens, cached) once that was told."""

    prompt: tuple[int, int] = (0, 0)
    ids: list[int] = field(default_factory=list)
    # Behind each frame: how many ids there were, and the digest of the text.
    _ends: list[tuple[int, bytes]] = field(default_factory=list)
    _text: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=32))

    def add(self, ids: tuple[int, ...], text: str) -> None:
        self.ids.extend(ids)
        self._text.update(text.encode("utf-8"))
        self._ends.append((len(self.ids), self._text.digest()))

    @property
    def worth_something(self) -> bool:
        """Whether anything may be billed for it: tokens, of a prompt whose size is known."""
        return bool(self.ids) and self.prompt[0] > 0

    def extent(self) -> Extent:
        """All of it."""
        return self._up_to(*(self._ends[-1] if self._ends else (0, self._text.digest())))

    def within(self, most: int) -> Extent:
        """The longest that ended with a frame and has at most so many tokens."""
        for end in reversed(self._ends):
            if end[0] <= most:
                return self._up_to(*end)
        return self._up_to(0, hashlib.blake2b(digest_size=32).digest())

    def passed(self, extent: Extent) -> bool:
        """Whether it was exactly there once, after some frame. Text may have come without ids."""
        if (extent.prompt_tokens, extent.cached_tokens) != self.prompt:
            return False
        if extent.ids_digest != ids_digest(self.ids[: extent.tokens]):
            return False
        return (extent.tokens, extent.text_digest) in self._ends

    def _up_to(self, tokens: int, text: bytes) -> Extent:
        return Extent(*self.prompt, tokens, ids_digest(self.ids[:tokens]), text)
