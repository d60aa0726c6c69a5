"""Checks an image projector's file before native code sees it, for what llama.cpp misses there ends the process.

Owns the meaning of the keys and tensors; the format is checked by ``gguf_header``. What only some kinds of projectors
need is left to the first encoding, which happens while the model is loaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from peernode.engine.errors import ModelLoadFailed
from peernode.engine.gguf_header import Array, GgufHeader, Text, read_header

_VISION = "clip.vision."
_MOST: dict[str, tuple[int, int]] = {
    "image_size": (0, 8192),
    "patch_size": (1, 1024),
    "embedding_length": (1, 1 << 16),
    "feed_forward_length": (0, 1 << 20),
    "block_count": (0, 512),
    "projection_dim": (1, 1 << 20),
    "attention.head_count": (1, 1 << 10),
}
# Towers of another make: no transformer blocks with the usual names.
_OTHER_TOWERS = frozenset({"gemma3nv", "gemma4uv", "deepseekocr", "deepseekocr2"})
# One size for all pictures, so that the table of positions must cover it.
_FIXED_SIZE = frozenset({"mlp", "gemma3", "idefics3"})
# Their pictures depend on where in the prompt they stand, which an encoding that is cached cannot know.
_TIED_TO_PLACE = frozenset({"deepseek4v", "hunyuanvl"})
_NEEDED_KEYS = {"idefics3": ("clip.vision.projector.scale_factor",)}
_NEEDED_TENSORS = {
    "mlp": ("v.position_embd.weight", "mm.0.weight", "mm.0.bias", "mm.2.weight", "mm.2.bias"),
    "gemma3": ("v.position_embd.weight", "mm.input_projection.weight", "mm.soft_emb_norm.weight"),
    "idefics3": ("v.position_embd.weight", "mm.model.fc.weight"),
    "qwen2vl_merger": ("mm.0.weight", "mm.0.bias", "mm.2.weight", "mm.2.bias"),
}


# Beside its weights, for what it computes in.
_WORKING_BYTES = 128 << 20


@dataclass(frozen=True, slots=True)
class ProjectorHeader:
    """``kind`` is llama.cpp's name for the projector, ``size_bytes`` the file's size."""

    kind: str
    size_bytes: int


def projector_bytes(path: Path | None) -> int:
    """What a projector takes of the machine's memory, into which its weights are read; 0 without one."""
    try:
        return path.stat().st_size + _WORKING_BYTES if path else 0
    except OSError:
        return 0  # whoever opens it says why it cannot


def inspect_projector(path: Path) -> ProjectorHeader:
    """Raises ModelLoadFailed; blocks, so not for an event loop."""
    try:
        header = read_header(path)
    except ModelLoadFailed as err:
        raise _refused(f"{err.sentence} {err.cause}".strip()) from err
    return projector_header(header)


def projector_header(header: GgufHeader) -> ProjectorHeader:
    """Raises ModelLoadFailed when ``header`` is not that of an image projector that llama.cpp can open safely."""
    if _text(header, "general.architecture") != "clip":
        raise _refused("it is another kind of GGUF")
    if header.values.get("clip.has_vision_encoder") is not True:
        raise _refused("it has no vision encoder")
    kind = _text(header, "clip.projector_type") or _text(header, "clip.vision.projector_type")
    if not kind:
        raise _without("clip.projector_type")
    if kind in _TIED_TO_PLACE:
        raise _refused(f"projectors of the kind {kind} are not supported")
    _check_numbers(header)
    for key in _NEEDED_KEYS.get(kind, ()):
        if not isinstance(header.values.get(key), int) or not 1 <= int(_number(header, key)) <= 64:
            raise _without(key)
    for name in _NEEDED_TENSORS.get(kind, ()):
        _shape(header, name)
    if kind not in _OTHER_TOWERS:
        _check_tower(header, kind)
    if kind == "mlp":
        _check_mlp(header)
    return ProjectorHeader(kind, header.size_bytes)


def _check_numbers(header: GgufHeader) -> None:
    for name, (least, most) in _MOST.items():
        found = header.values.get(_VISION + name)
        if not isinstance(found, int) or isinstance(found, bool):
            raise _without(_VISION + name)
        if not least <= found <= most:
            raise _refused(f"{_VISION + name} is {found}, between {least} and {most} are allowed")
    epsilon = header.values.get(_VISION + "attention.layer_norm_epsilon")
    if not isinstance(epsilon, float) or not 0.0 <= epsilon < 1.0:
        raise _without(_VISION + "attention.layer_norm_epsilon")
    for name in ("image_mean", "image_std"):
        array = header.values.get(_VISION + name)
        values = array.values if isinstance(array, Array) else None
        if values is None or len(values) != 3 or not all(isinstance(value, float) for value in values):
            raise _without(_VISION + name)
        if not all(math.isfinite(value) for value in values) or (name == "image_std" and 0.0 in values):
            raise _refused(f"{_VISION + name} holds numbers that cannot be")
    width, heads = _count(header, "embedding_length"), _count(header, "attention.head_count")
    if width % heads:
        raise _refused(f"{heads} heads do not divide a width of {width}")


def _check_tower(header: GgufHeader, kind: str) -> None:
    """The vision transformer: its patches, its table of positions, and every block's attention."""
    width, patch, side = (_count(header, name) for name in ("embedding_length", "patch_size", "image_size"))
    patches = _shape(header, "v.patch_embd.weight")
    if patches[-1] != width or (len(patches) == 4 and patches[:2] != (patch, patch)):
        raise _refused(f"v.patch_embd.weight has the shape {patches} for patches of {patch} and a width of {width}")
    if kind in _FIXED_SIZE:
        places = (side // patch) ** 2 + ("v.class_embd" in header.shapes)
        table = _shape(header, "v.position_embd.weight")
        if table[0] != width or len(table) != 2 or not 0 < places <= table[1]:
            raise _refused(f"v.position_embd.weight has the shape {table} for images of {side} x {side}")
    blocks = _count(header, "block_count")
    if blocks < 1:
        raise _refused("its vision encoder has no layers")
    for block in range(blocks):
        name = f"v.blk.{block}.attn_"
        apart = name + "qkv.weight" not in header.shapes
        for part in ("q", "k", "v") if apart else ("qkv",):
            if _shape(header, f"{name}{part}.weight")[0] != width:
                raise _refused(f"{name}{part}.weight is not {width} wide")
        _shape(header, f"{name}out.weight")


def _check_mlp(header: GgufHeader) -> None:
    width, out = _count(header, "embedding_length"), _count(header, "projection_dim")
    first, last = _shape(header, "mm.0.weight"), _shape(header, "mm.2.weight")
    if first[0] != width or last != (first[-1], out):
        raise _refused(f"mm.0.weight and mm.2.weight of the shapes {first} and {last} do not fit together")


def _count(header: GgufHeader, name: str) -> int:
    return int(_number(header, _VISION + name))


def _number(header: GgufHeader, key: str) -> int | float:
    found = header.values.get(key)
    if not isinstance(found, (int, float)):
        raise _without(key)
    return found


def _text(header: GgufHeader, key: str) -> str:
    found = header.values.get(key)
    return found.start if isinstance(found, Text) else ""


def _shape(header: GgufHeader, name: str) -> tuple[int, ...]:
    shape = header.shapes.get(name)
    if shape is None:
        raise _refused(f"the tensor {name!r} is missing")
    return shape


def _without(key: str) -> ModelLoadFailed:
    return _refused(f"the key {key!r} is missing or of the wrong type")


def _refused(cause: str) -> ModelLoadFailed:
    return ModelLoadFailed(
        "The image projector cannot be used.",
        cause=cause,
        remedy="Name the projector (mmproj) file that was published with this model.",
    )
