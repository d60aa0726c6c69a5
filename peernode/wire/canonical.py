"""The one encoding of everything that is signed or digested.

A value is a nested list of None, bool, int, str, bytes. Encoding is msgpack in its shortest form; decoding
accepts only bytes that encode back to themselves. No maps, no floats, no extension types.
Source: design decision 5; msgpack specification, 2017.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias, cast

import msgpack

from peernode.wire.errors import BadSchema, NotCanonical

Value: TypeAlias = "bool | int | str | bytes | list[Value] | tuple[Value, ...] | None"

MAX_DEPTH = 8
MAX_BYTES = 1 << 20
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1


def encode(value: Value) -> bytes:
    """Shortest-form msgpack of ``value``. Raises BadSchema for a map, float, over-deep or unknown type."""
    _check(value, MAX_DEPTH)
    return cast(bytes, msgpack.packb(value, use_bin_type=True, strict_types=False))


def decode(raw: bytes, *, max_bytes: int = MAX_BYTES) -> Value:
    """The value whose canonical encoding is exactly ``raw``; lists come back as lists. Raises NotCanonical."""
    if len(raw) > max_bytes:
        raise NotCanonical("The message is too large.", cause=f"{len(raw)} bytes, at most {max_bytes} are read")
    try:
        value = msgpack.unpackb(
            raw,
            raw=False,
            use_list=True,
            strict_map_key=True,
            max_str_len=max_bytes,
            max_bin_len=max_bytes,
            max_array_len=max_bytes,
            max_map_len=0,
            max_ext_len=0,
        )
        again = encode(value)
    except BadSchema as err:
        raise NotCanonical("The message holds a value that canonical messages may not hold.", cause=str(err)) from err
    # msgpack raises many types for bad input (ValueError, StackError, UnicodeDecodeError, ExtraData, OverflowError…)
    except Exception as err:
        raise NotCanonical("The message is not msgpack.", cause=type(err).__name__) from err
    if again != raw:
        raise NotCanonical("The message is not in canonical form.", cause="it does not encode back to itself")
    return cast(Value, value)


def digest(raw: bytes) -> bytes:
    """BLAKE2b-256 of ``raw``: 32 bytes."""
    return hashlib.blake2b(raw, digest_size=32).digest()


def _check(value: object, depth: int) -> None:
    if depth < 0:
        raise BadSchema("The value is nested too deeply.", cause=f"more than {MAX_DEPTH} levels")
    if value is None or isinstance(value, (bool, str, bytes)):
        return
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise BadSchema("An integer does not fit 64 bits.")
        return
    if isinstance(value, (list, tuple)) and not isinstance(value, msgpack.ExtType):  # which is a tuple, too
        for item in value:
            kind = type(item)
            # Most of what is said is this, and needs no call of its own.
            if depth > 0 and (kind is str or kind is bytes or (kind is int and _INT_MIN <= item <= _INT_MAX)):
                continue
            _check(item, depth - 1)
        return
    raise BadSchema("A value of this type cannot be signed.", cause=type(value).__name__)
