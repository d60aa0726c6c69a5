"""The canonical request for embeddings: texts or token ids, each to be made one vector.

Its job is like any other, but its answer is vectors written as text, one line for each input: base64 of 32-bit
floats, little-endian. So the receipt's text digest covers them, and no token is ever completed.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from peernode.chat.sampling import DEFAULTS, Sampling
from peernode.wire import canonical
from peernode.wire.canonical import Value
from peernode.wire.errors import BadSchema
from peernode.wire.fields import FieldReader, as_token_id

Input: TypeAlias = "str | tuple[int, ...]"

KIND = "embeddings"
MAX_INPUTS = 2048
MAX_INPUT_CHARS = 1 << 19
MAX_INPUT_TOKENS = 1 << 17


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """``inputs`` are texts or lists of token ids, none of them empty. The rest is what every request has to say."""

    max_tokens: ClassVar[None] = None
    sampling: ClassVar[Sampling] = DEFAULTS
    top_logprobs: ClassVar[None] = None
    share_prefix: ClassVar[bool] = False

    inputs: tuple[Input, ...]

    def to_fields(self) -> list[Value]:
        return [KIND, [entry if isinstance(entry, str) else list(entry) for entry in self.inputs]]

    @classmethod
    def from_fields(cls, value: Value) -> EmbeddingRequest:
        """Raises BadSchema."""
        read = FieldReader("embedding request", value)
        if read.text("kind") != KIND:
            raise BadSchema("A request is not for embeddings.")
        request = cls(read.items("inputs", _read_input, most=MAX_INPUTS))
        read.done()
        if not request.inputs:
            raise BadSchema("An embedding request has no inputs.")
        return request

    @property
    def digest(self) -> bytes:
        """BLAKE2b-256 of the canonical request; what a receipt calls ``request_digest``."""
        return canonical.digest(canonical.encode(self.to_fields()))


def vector_line(vector: bytes) -> str:
    """The line of one vector of little-endian 32-bit floats."""
    return base64.b64encode(vector).decode("ascii") + "\n"


def read_vectors(text: str, count: int) -> list[tuple[float, ...]]:
    """The vectors of a whole answer. Raises ValueError unless they are ``count`` of one width, all finite."""
    lines = text.splitlines()
    if len(lines) != count or not count:
        raise ValueError(f"{len(lines)} vectors for {count} inputs")
    try:
        raws = [base64.b64decode(line, validate=True) for line in lines]
    except binascii.Error as err:
        raise ValueError("a vector is not base64") from err
    if len({len(raw) for raw in raws}) != 1 or not raws[0] or len(raws[0]) % 4:
        raise ValueError("the vectors are not of one width")
    vectors = [struct.unpack(f"<{len(raw) // 4}f", raw) for raw in raws]
    if not all(_is_finite(vector) for vector in vectors):
        raise ValueError("a vector is not finite")
    return vectors


def _is_finite(vector: Sequence[float]) -> bool:
    return all(abs(number) <= 1e30 for number in vector)  # false for NaN, too


def _read_input(value: Value) -> Input:
    reader = FieldReader("input", [value])
    if isinstance(value, str):
        return reader.text("text", least=1, most=MAX_INPUT_CHARS)
    tokens = reader.items("tokens", as_token_id, most=MAX_INPUT_TOKENS)
    if not tokens:
        raise BadSchema("An input has no tokens.")
    return tokens
