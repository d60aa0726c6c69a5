"""Which files a model consists of: one, or the parts of a split GGUF, all found, validated and belonging together.

Owns the naming scheme of split files (``NAME-00001-of-00003.gguf``) and the keys that number them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from peernode.engine.errors import ModelLoadFailed
from peernode.engine.gguf_bytes import damaged
from peernode.engine.gguf_header import GgufHeader, read_header
from peernode.engine.gguf_model import ModelHeader, model_header

_SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)
_MAX_PARTS = 512


@dataclass(frozen=True, slots=True)
class InspectedModel:
    """A model whose headers are sound. ``paths`` are in the order of the parts, the first is what llama.cpp opens.

    ``shapes`` are all tensors' dimensions by name, as the files have them: the length of a row first.
    """

    header: ModelHeader
    paths: tuple[Path, ...]
    shapes: dict[str, tuple[int, ...]]


def inspect_model(path: Path) -> InspectedModel:
    """Validate every header of the model at ``path``. Raises ModelLoadFailed; blocks, so not for the event loop."""
    first = read_header(path)
    paths = part_paths(path)
    claimed = first.values.get("split.count", 0)
    # A file that says it is whole may be called anything; llama.cpp goes by the key, not by the name.
    if claimed in (0, 1):
        return InspectedModel(model_header([first]), (path,), first.shapes)
    if claimed != len(paths):
        raise damaged(f"it says it has {claimed} parts, but its name says {len(paths)}")
    parts = [first, *(_read_part(part) for part in paths[1:])]
    for number, part in enumerate(parts):
        if (part.values.get("split.no"), part.values.get("split.count")) != (number, len(parts)):
            raise damaged(f"{paths[number].name} does not say that it is part {number + 1} of {len(parts)}")
    _check_together(parts)
    shapes = {name: shape for part in parts for name, shape in part.shapes.items()}
    return InspectedModel(model_header(parts), paths, shapes)


def part_paths(path: Path) -> tuple[Path, ...]:
    """The files that the name of the first one stands for. Raises ModelLoadFailed when it names another part."""
    match = _SPLIT.fullmatch(path.name)
    if match is None:
        return (path,)
    number, count = int(match["number"]), int(match["count"])
    if not 1 <= count <= _MAX_PARTS:
        raise damaged(f"its name says that it has {count} parts, at most {_MAX_PARTS} are allowed")
    paths = tuple(path.with_name(f"{match['stem']}-{at:05}-of-{count:05}.gguf") for at in range(1, count + 1))
    if number != 1:
        raise ModelLoadFailed(
            "The file is not the first part of its model.",
            cause=path.name,
            remedy=f"Name {paths[0].name} in the configuration.",
        )
    return paths


def _read_part(path: Path) -> GgufHeader:
    if not path.is_file():
        raise ModelLoadFailed(
            "A part of the model is missing.", cause=str(path), remedy="Put all parts into one directory."
        )
    return read_header(path)


def _check_together(parts: list[GgufHeader]) -> None:
    names: set[str] = set()
    for part in parts:
        twice = names & part.shapes.keys()
        if twice:
            raise damaged(f"the tensor {min(twice)!r} is in two parts")
        names |= part.shapes.keys()
    claimed = parts[0].values.get("split.tensors.count")
    if claimed != len(names):
        raise damaged(f"its parts hold {len(names)} tensors, but it says {claimed}")
