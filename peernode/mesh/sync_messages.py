"""The four messages of ``/peernode/sync/1``, as msgpack with every length bounded before it is allocated.

Each message is one frame: a list of a number that says which message it is, and its entries.

- ``Have``    [0, [[peer, seq], …]]   "I know this originator up to this number." At most 8192 entries a frame. The
  first frames that each side sends say all it knows, departed and expired peers included, at least one frame even if
  empty; whoever lacks something asks for it. Later ones tell of news that came by gossip. An empty one shows that a
  quiet side is alive.
- ``Records`` [1, [[age_ms, advert, renewal], …]]   signed bytes. ``renewal`` is empty when the advert has not been
  renewed since it was made, ``advert`` is empty when the neighbour is taken to hold it; with both, the renewal is one
  of that advert. ``age_ms``: how long the sender has held the newer of the two, plus the age with which it came, so
  that a lease does not grow by travelling. At most 512 entries and half a mebibyte a frame.
- ``Want``    [2, [peer, …]]   "Send me what you hold of these, the advert included, and go on sending what is new of
  them." At most 8192 entries.
- ``Enough``  [3, [peer, …]]   "I hear these from somebody else first: send me no more of them until I want them, or
  until they join anew." A node never says it to a neighbour about the neighbour itself. At most 8192 entries.

Pure. Leaves when to send which to ``sync``, and the truth of a record to ``wire``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgpack

from peernode.mesh.errors import BadSyncMessage
from peernode.mesh.frames import MAX_FRAME_BYTES
from peernode.wire.advert import MAX_ADVERT_BYTES
from peernode.wire.renewal import MAX_RENEWAL_BYTES

_HAVE, _RECORDS, _WANT, _ENOUGH = range(4)
MAX_PEERS = 8192
MAX_RECORDS = 512
RECORDS_BYTES = MAX_FRAME_BYTES // 2
MAX_PEER_ID = 64
MAX_AGE_MS = 1 << 40


@dataclass(frozen=True, slots=True)
class Have:
    """The highest number the sender knows of, per originator."""

    numbers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Record:
    """An advert, its newest renewal, or both, as signed bytes; b"" for what is not there. Ages in milliseconds."""

    age_ms: int
    advert: bytes
    renewal: bytes


@dataclass(frozen=True, slots=True)
class Records:
    """What the sender passes on."""

    items: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Want:
    """Originators of whom the sender wants all that is new."""

    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enough:
    """Originators of whom the sender wants to hear nothing more here."""

    peers: tuple[str, ...]


Message = Have | Records | Want | Enough


def encode_have(numbers: Mapping[str, int]) -> Iterator[bytes]:
    """One or more frames that together tell all ``numbers``; one even when there are none."""
    items = [[peer, seq] for peer, seq in numbers.items()]
    for start in range(0, max(len(items), 1), MAX_PEERS):
        yield msgpack.packb([_HAVE, items[start : start + MAX_PEERS]])


def encode_want(peers: Iterable[str]) -> Iterator[bytes]:
    """As few frames as name all ``peers``; none for none."""
    return _encode_peers(_WANT, peers)


def encode_enough(peers: Iterable[str]) -> Iterator[bytes]:
    """As few frames as name all ``peers``; none for none."""
    return _encode_peers(_ENOUGH, peers)


def encode_records(items: Iterable[Record]) -> Iterator[bytes]:
    """As few frames as carry all ``items``; none for no items."""
    page: list[list[int | bytes]] = []
    size = 0
    for item in items:
        length = len(item.advert) + len(item.renewal)
        if page and (size + length > RECORDS_BYTES or len(page) >= MAX_RECORDS):
            yield msgpack.packb([_RECORDS, page])
            page, size = [], 0
        page.append([item.age_ms, item.advert, item.renewal])
        size += length
    if page:
        yield msgpack.packb([_RECORDS, page])


def decode(frame: bytes) -> Message:
    """Raises ``BadSyncMessage`` for anything but a well-formed message within its bounds."""
    try:
        message = msgpack.unpackb(
            frame,
            max_array_len=MAX_PEERS,
            max_str_len=MAX_PEER_ID,
            max_bin_len=MAX_ADVERT_BYTES,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise BadSyncMessage("The neighbour's sync message cannot be read.", cause=repr(error)) from error
    match message:
        case [0, list(pairs)] if all(_is_number(pair) for pair in pairs):
            return Have(dict(pairs))
        case [1, list(items)] if len(items) <= MAX_RECORDS and all(_is_record(item) for item in items):
            return Records(tuple(Record(min(age_ms, MAX_AGE_MS), advert, renewal) for age_ms, advert, renewal in items))
        case [2, list(peers)] if all(type(peer) is str for peer in peers):
            return Want(tuple(peers))
        case [3, list(peers)] if all(type(peer) is str for peer in peers):
            return Enough(tuple(peers))
        case _:
            raise BadSyncMessage("The neighbour's sync message has an unknown shape.")


def _encode_peers(kind: int, peers: Iterable[str]) -> Iterator[bytes]:
    items = list(peers)
    for start in range(0, len(items), MAX_PEERS):
        yield msgpack.packb([kind, items[start : start + MAX_PEERS]])


def _is_number(pair: object) -> bool:
    if not (isinstance(pair, list) and len(pair) == 2):
        return False
    peer, seq = pair
    return type(peer) is str and type(seq) is int and seq >= 0


def _is_record(item: object) -> bool:
    if not (isinstance(item, list) and len(item) == 3):
        return False
    age_ms, advert, renewal = item
    if not (type(age_ms) is int and age_ms >= 0 and type(advert) is bytes and type(renewal) is bytes):
        return False
    return bool(advert or renewal) and len(renewal) <= MAX_RENEWAL_BYTES
