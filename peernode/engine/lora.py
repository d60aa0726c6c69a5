"""LoRA adapters: files that change a model when it is loaded, checked against that model before native code sees them.

Owns what must be in an adapter's header, and the identity of an adapted model: it answers differently from its base,
so it must not carry the base's digest.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from peernode.engine.errors import ModelLoadFailed
from peernode.engine.gguf_header import GgufHeader, Text, read_header

MAX_ADAPTERS = 16
MAX_SCALE = 100.0
_DOMAIN = b"peernode/adapted-model/1\0"
_A, _B = ".lora_a", ".lora_b"
# A table that is looked up by row: its two factors have changed places.
_LOOKED_UP = "token_embd.weight"
_TYPES = {0: "F32", 1: "F16", 8: "Q8_0", 30: "BF16"}  # what converters write; integers would end the worker


@dataclass(frozen=True, slots=True)
class LoraAdapter:
    """One adapter and how strongly it is applied; 1.0 is as it was trained. Raises ValueError for a senseless scale."""

    path: Path
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale) or abs(self.scale) > MAX_SCALE:
            raise ValueError(f"an adapter's scale is between -{MAX_SCALE:g} and {MAX_SCALE:g}, not {self.scale}")


def inspect_adapter(path: Path, architecture: str, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Check the adapter at ``path`` against a model's architecture and tensors; its tensors' size in bytes.

    Raises ModelLoadFailed; blocks, so not for the event loop.
    """
    try:
        header = read_header(path)
    except ModelLoadFailed as err:
        raise ModelLoadFailed(
            "A LoRA adapter cannot be read.",
            cause=f"{path.name}: {err.sentence} {err.cause}".strip(),
            remedy=err.remedy,
        ) from err
    if _text(header, "general.type") != "adapter" or _text(header, "adapter.type") != "lora":
        raise _refused(path, "it does not say that it is a LoRA adapter")
    if _text(header, "general.architecture") != architecture:
        raise _refused(
            path, f"it is for {_text(header, 'general.architecture') or 'no'} models, this one is {architecture}"
        )
    if "adapter.alora.invocation_tokens" in header.values:
        raise _refused(path, "it takes effect only after certain words (aLoRA), which is not supported")
    alpha = header.values.get("adapter.lora.alpha")
    if not isinstance(alpha, float) or not math.isfinite(alpha):
        raise _refused(path, "its adapter.lora.alpha is missing or no number")
    if not header.shapes:
        raise _refused(path, "it holds no tensors")
    for name in header.shapes:
        _check_tensor(path, name, header, shapes)
    return header.tensor_bytes


def adapted_digest(base: bytes, adapters: Iterable[tuple[bytes, float]]) -> bytes:
    """SHA-256 over the base's digest and each adapter's digest and scale, in the order of application.

    Without adapters it is the base's digest.
    """
    applied = list(adapters)
    if not applied:
        return base
    hashed = hashlib.sha256(_DOMAIN + base)
    for digest, scale in applied:
        hashed.update(digest + struct.pack("<d", scale))
    return hashed.digest()


def _check_tensor(path: Path, name: str, header: GgufHeader, model: Mapping[str, tuple[int, ...]]) -> None:
    suffix = next((end for end in (_A, _B) if name.endswith(end)), None)
    if suffix is None:
        raise _refused(path, f"the tensor {name!r} is no factor of a LoRA")
    target = name.removesuffix(suffix)
    a, b = header.shapes.get(target + _A), header.shapes.get(target + _B)
    if a is None or b is None:
        raise _refused(path, f"one factor of {target!r} is missing")
    if header.kinds[name] not in _TYPES:
        raise _refused(path, f"the tensor {name!r} is not of the types {', '.join(_TYPES.values())}")
    base = model.get(target)
    if base is None:
        raise _refused(path, f"the model has no tensor {target!r}")
    if not _fits(a, b, base, looked_up=target == _LOOKED_UP):
        raise _refused(path, f"its factors {a} and {b} do not make up {target!r}, which is {base}")


def _fits(a: tuple[int, ...], b: tuple[int, ...], base: tuple[int, ...], *, looked_up: bool) -> bool:
    """Shapes are in the file's order, the row's length first. Experts, if any, are the third dimension of all."""
    if not len(a) == len(b) == len(base) or not 2 <= len(base) <= 3 or a[2:] != base[2:] or b[2:] != base[2:]:
        return False
    if looked_up:
        return base[0] == b[1] and base[1] == a[1] and a[0] == b[0]
    return base[0] == a[0] and base[1] == b[1] and a[1] == b[0]


def _text(header: GgufHeader, key: str) -> str:
    found = header.values.get(key)
    return found.start if isinstance(found, Text) else ""


def _refused(path: Path, cause: str) -> ModelLoadFailed:
    return ModelLoadFailed(
        "A LoRA adapter does not fit the model.",
        cause=f"{path.name}: {cause}",
        remedy="Name an adapter that was made for this very model, converted to GGUF.",
    )
