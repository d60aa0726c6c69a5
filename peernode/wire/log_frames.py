"""What is asked of a log over ``/peernode/receipts/1``, as canonical lists [type, fields…]; types 16 to 18.

Who asks holds the peer's signed words on its log already, so a path is all that there is to answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from peernode.wire.canonical import Value
from peernode.wire.fields import FieldReader
from peernode.wire.merkle import HASH_BYTES, MAX_PATH


@dataclass(frozen=True, slots=True)
class GrowthFrame:
    """anybody → provider: show that your log of ``new`` receipts goes on from that of ``old``."""

    old: int
    new: int

    def to_fields(self) -> list[Value]:
        return [16, self.old, self.new]


@dataclass(frozen=True, slots=True)
class PlaceFrame:
    """anybody → provider: show that receipt ``seq`` is in your log of ``size`` receipts."""

    seq: int
    size: int

    def to_fields(self) -> list[Value]:
        return [17, self.seq, self.size]


@dataclass(frozen=True, slots=True)
class PathFrame:
    """provider → whoever asked: the hashes of the path, joined."""

    path: bytes

    def to_fields(self) -> list[Value]:
        return [18, self.path]

    @property
    def hashes(self) -> tuple[bytes, ...]:
        return tuple(self.path[at : at + HASH_BYTES] for at in range(0, len(self.path), HASH_BYTES))


LogFrame: TypeAlias = GrowthFrame | PlaceFrame | PathFrame
LogAsk: TypeAlias = GrowthFrame | PlaceFrame

LOG_DECODERS: dict[int, Callable[[FieldReader], LogFrame]] = {
    16: lambda read: GrowthFrame(read.integer("old", least=1), read.integer("new", least=1)),
    17: lambda read: PlaceFrame(read.integer("seq", least=1), read.integer("size", least=1)),
    18: lambda read: PathFrame(read.octets("path", most=MAX_PATH * HASH_BYTES)),
}
