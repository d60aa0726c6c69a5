"""The two messages of ``/peernode/sync/1``, as msgpack with every length bounded before it is allocated.

Pure. ``Have`` says which advert numbers the sender knows; ``Adverts`` carries signed adverts with their ages. Leaves
when to send which to ``sync``, and the truth of an advert to ``wire``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgpack

from peernode.mesh.errors import BadSyncMessage
from peernode.mesh.frames import MAX_FRAME_BYTES
from peernode.wire.advert import MAX_ADVERT_BYTES

_HAVE = 0
_ADVERTS = 1
MAX_HAVE = 8192
MAX_ADVERTS = 512
ADVERTS_BYTES = MAX_FRAME_BYTES // 2
MAX_PEER_ID = 64
MAX_AGE_MS = 1 << 40


@dataclass(frozen=True, slots=True)
class Have:
    """The highest advert number the sender knows of, per peer."""

    numbers: dict[str, int]


@dataclass(frozen=True, slots=True)
class Adverts:
    """Signed adverts as (age in ms, bytes)."""

    items: tuple[tuple[int, bytes], ...]


def encode_have(numbers: dict[str, int]) -> Iterator[bytes]:
    """One or more frames that together tell all ``numbers``."""
    items = [[peer, seq] for peer, seq in numbers.items()]
    for start in range(0, max(len(items), 1), MAX_HAVE):
        yield msgpack.packb([_HAVE, items[start : start + MAX_HAVE]])


def encode_adverts(items: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
    """As few frames as carry all ``items``; none for no items."""
    page: list[tuple[int, bytes]] = []
    size = 0
    for age_ms, raw in items:
        if page and (size + len(raw) > ADVERTS_BYTES or len(page) >= MAX_ADVERTS):
            yield msgpack.packb([_ADVERTS, page])
            page, size = [], 0
        page.append((age_ms, raw))
        size += len(raw)
    if page:
        yield msgpack.packb([_ADVERTS, page])


def decode(frame: bytes) -> Have | Adverts:
    """Raises ``BadSyncMessage`` for anything but a well-formed message within its bounds."""
    try:
        message = msgpack.unpackb(
            frame,
            max_array_len=MAX_HAVE,
            max_str_len=MAX_PEER_ID,
            max_bin_len=MAX_ADVERT_BYTES,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise BadSyncMessage("The neighbour's sync message cannot be read.", cause=repr(error)) from error
    match message:
        case [0, list(pairs)] if all(_is_pair(pair, str, int) for pair in pairs):
            return Have(dict(pairs))
        case [1, list(pairs)] if len(pairs) <= MAX_ADVERTS and all(_is_pair(pair, int, bytes) for pair in pairs):
            return Adverts(tuple((min(age, MAX_AGE_MS), raw) for age, raw in pairs))
        case _:
            raise BadSyncMessage("The neighbour's sync message has an unknown shape.")


def _is_pair(pair: object, first: type, second: type) -> bool:
    if not (isinstance(pair, list) and len(pair) == 2 and type(pair[0]) is first and type(pair[1]) is second):
        return False
    return all(value >= 0 for value in pair if isinstance(value, int))
