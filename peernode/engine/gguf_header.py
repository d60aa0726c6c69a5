"""Parses a GGUF's header and checks it against the file, before native code that trusts it gets to see the file.

Owns the format: counts, types, lengths, and that every tensor lies inside the file and beside the others. What a
*model* must have in its header is in ``gguf_model``. Memory and time are bounded whatever the file claims: long
strings and arrays are stepped over, not kept. Every fault is a ModelLoadFailed that says where it is.
"""

from __future__ import annotations

import math
import os
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from peernode.engine import gguf_types as limits
from peernode.engine.errors import ModelLoadFailed
from peernode.engine.gguf_bytes import GgufBytes, damaged

Scalar: TypeAlias = int | float | bool


@dataclass(frozen=True, slots=True)
class Text:
    """A string value: its length, and its beginning where that is valid UTF-8."""

    length: int
    start: str


@dataclass(frozen=True, slots=True)
class Array:
    """An array value; ``values`` only where they are few numbers, ``offset`` is where they begin in the file."""

    element: int
    count: int
    offset: int
    values: tuple[Scalar, ...] | None


@dataclass(slots=True)
class GgufHeader:
    """What the header says. ``kinds`` are the tensors' types by name.

    ``tensor_bytes`` and ``parameters`` are sums over all tensors of this file.
    """

    version: int
    size_bytes: int
    values: dict[str, Scalar | Text | Array] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    tensor_bytes: int = 0
    parameters: int = 0


def read_header(path: Path) -> GgufHeader:
    """Raises ModelLoadFailed for whatever is wrong with the file; blocks, so not for the event loop."""
    try:
        # Non-blocking, lest a named pipe hold us up; for a regular file it changes nothing.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ModelLoadFailed(
            "The model file does not exist.", cause=str(path), remedy="Check the path in the configuration."
        ) from None
    except (OSError, ValueError) as err:
        raise _unreadable(err) from err
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ModelLoadFailed("The model's path is not a file.", cause=str(path), remedy="Name the GGUF itself.")
        return _parse(GgufBytes(descriptor, found.st_size))
    except OSError as err:
        raise _unreadable(err) from err
    finally:
        os.close(descriptor)


def _unreadable(err: Exception) -> ModelLoadFailed:
    return ModelLoadFailed(
        "The model file cannot be read.",
        cause=(err.strerror if isinstance(err, OSError) else None) or type(err).__name__,
        remedy="Check the path and its permissions.",
    )


def _parse(data: GgufBytes) -> GgufHeader:
    if data.size < 24 or data.take(4, "the magic") != limits.MAGIC:
        raise damaged("it does not begin like a GGUF")
    version = data.integer("<I", "the version")
    if version not in limits.VERSIONS:
        hint = ", perhaps because it is big-endian" if version & 0xFFFF == 0 else ""
        raise damaged(f"its GGUF version is {version}{hint}; 2 and 3 are known")
    tensors = data.integer("<Q", "the tensor count")
    keys = data.integer("<Q", "the key count")
    if keys > limits.MAX_KEYS:
        raise damaged(f"it claims {keys} keys, at most {limits.MAX_KEYS} are allowed")
    if tensors > limits.MAX_TENSORS:
        raise damaged(f"it claims {tensors} tensors, at most {limits.MAX_TENSORS} are allowed")
    header = GgufHeader(version, data.size)
    _read_values(data, keys, header)
    _read_tensors(data, tensors, header)
    return header


def _read_values(data: GgufBytes, count: int, header: GgufHeader) -> None:
    strings_left = limits.MAX_STRINGS
    for number in range(count):
        key = _name(data, limits.MAX_KEY_BYTES, f"key {number}")
        if key in header.values:
            raise damaged(f"the key {key!r} appears twice")
        kind = data.integer("<I", f"the type of {key!r}")
        if kind == limits.STRING:
            header.values[key] = _read_text(data, key)
        elif kind == limits.ARRAY:
            array = header.values[key] = _read_array(data, key, strings_left)
            if array.element == limits.STRING:
                strings_left -= array.count
        else:
            header.values[key] = _read_scalar(data, kind, key)


def _name(data: GgufBytes, longest: int, what: str) -> str:
    length = data.integer("<Q", what)
    if not 0 < length <= longest:
        raise damaged(f"the name of {what} has {length} bytes, between 1 and {longest} are allowed")
    try:
        name = data.take(length, what).decode("utf-8")
    except UnicodeDecodeError:
        raise damaged(f"the name of {what} is not text") from None
    # A zero byte ends the name for C code, which would then see another name than we do.
    if not name.isprintable():
        raise damaged(f"the name of {what} has unprintable characters")
    return name


def _read_scalar(data: GgufBytes, kind: int, key: str) -> Scalar:
    form = limits.SCALARS.get(kind)
    if form is None:
        raise damaged(f"the type {kind} of {key!r} is unknown")
    value = data.number(form, repr(key))
    if kind == limits.BOOL:
        if value not in (0, 1):
            raise damaged(f"the truth value of {key!r} is {value}")
        return bool(value)
    return value


def _read_text(data: GgufBytes, key: str) -> Text:
    longest = limits.MAX_TEMPLATE_BYTES if key.startswith("tokenizer.chat_template") else limits.MAX_STRING_BYTES
    length = data.integer("<Q", repr(key))
    if length > longest:
        raise damaged(f"{key!r} has {length} bytes, at most {longest} are allowed")
    start = data.take(min(length, limits.KEPT_STRING), repr(key))
    data.skip(length - len(start), repr(key))
    return Text(length, start.decode("utf-8", "replace"))


def _read_array(data: GgufBytes, key: str, strings_left: int) -> Array:
    element = data.integer("<I", f"the type of {key!r}")
    count = data.integer("<Q", f"the length of {key!r}")
    if element == limits.ARRAY:
        raise damaged(f"{key!r} is an array of arrays, which no model needs")
    if count > limits.MAX_ARRAY:
        raise damaged(f"{key!r} claims {count} elements, at most {limits.MAX_ARRAY} are allowed")
    offset = data.position
    if element == limits.STRING:
        if count > strings_left:
            raise damaged(f"its arrays hold more than {limits.MAX_STRINGS} strings")
        data.skip_strings(count, limits.MAX_ELEMENT_BYTES, repr(key))
        return Array(element, count, offset, None)
    form = limits.SCALARS.get(element)
    if form is None:
        raise damaged(f"the element type {element} of {key!r} is unknown")
    width = struct.calcsize(form)
    if count > limits.KEPT_ARRAY:
        data.skip(count * width, repr(key))
        return Array(element, count, offset, None)
    values = struct.unpack(f"<{count}{form[1]}", data.take(count * width, repr(key)))
    return Array(element, count, offset, values)


def _read_tensors(data: GgufBytes, count: int, header: GgufHeader) -> None:
    alignment = header.values.get("general.alignment", limits.DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or not 0 < alignment <= limits.MAX_ALIGNMENT or alignment & (alignment - 1):
        raise damaged("its alignment is no power of two")
    ends = 0
    last_end = 0
    for number in range(count):
        name = _name(data, limits.MAX_TENSOR_NAME, f"tensor {number}")
        if name in header.shapes:
            raise damaged(f"the tensor {name!r} appears twice")
        shape, kind, size = _read_shape(data, name)
        offset = data.integer("<Q", f"the tensor {name!r}")
        # The writers put tensors back to back; anything else is an overlap or a gap, and llama.cpp takes neither.
        if offset != ends:
            fault = "overlaps another one" if offset < ends else "leaves a gap"
            raise damaged(f"the tensor {name!r} begins at {offset}, expected was {ends}: it {fault}")
        last_end = offset + size
        if last_end > data.size:
            raise damaged(f"the tensor {name!r} has {size} bytes, more than the file")
        ends = _padded(last_end, alignment)
        header.shapes[name] = shape
        header.kinds[name] = kind
        header.tensor_bytes += size
        header.parameters += math.prod(shape)
    begin = _padded(data.position, alignment)
    if count and begin + last_end > data.size:
        raise damaged(f"its tensors end at byte {begin + last_end}, but the file ends at {data.size}")


def _read_shape(data: GgufBytes, name: str) -> tuple[tuple[int, ...], int, int]:
    """The dimensions of a tensor, its type, and its size in bytes."""
    dimensions = data.integer("<I", f"the tensor {name!r}")
    if not 0 < dimensions <= limits.MAX_DIMENSIONS:
        raise damaged(f"the tensor {name!r} has {dimensions} dimensions, between 1 and 4 are allowed")
    shape = tuple(data.integer("<Q", f"the tensor {name!r}") for _ in range(dimensions))
    kind = data.integer("<I", f"the tensor {name!r}")
    if kind not in limits.TENSOR_BLOCKS:
        raise damaged(f"the tensor {name!r} is of the unknown type {kind}")
    block, block_bytes = limits.TENSOR_BLOCKS[kind]
    elements = math.prod(shape)
    if elements < 1:
        raise damaged(f"the tensor {name!r} is empty")
    if elements >= 1 << 62:
        raise damaged(f"the tensor {name!r} claims {elements} elements")
    if shape[0] % block:
        raise damaged(f"a row of the tensor {name!r} has {shape[0]} elements, no multiple of {block}")
    return shape, kind, elements // block * block_bytes


def _padded(position: int, alignment: int) -> int:
    return (position + alignment - 1) & -alignment
