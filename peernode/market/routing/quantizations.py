"""The classes in which clients ask for precision, and the names that GGUF files have for it."""

from __future__ import annotations

from functools import cache

UNKNOWN = "unknown"
# OpenRouter's classes and, in between, those that it has no word for.
CLASSES = frozenset(
    (
        "int2",
        "int3",
        "int4",
        "int5",
        "int6",
        "int8",
        "fp4",
        "mxfp4",
        "nvfp4",
        "fp6",
        "fp8",
        "fp16",
        "bf16",
        "fp32",
        UNKNOWN,
    )
)
_EXACT = {"F32": "fp32", "F16": "fp16", "BF16": "bf16", "MXFP4": "mxfp4", "NVFP4": "nvfp4"}


@cache
def class_of(name: str) -> str:
    """The class of a GGUF quantization: ``int4`` for Q4_K_M, Q4_0, IQ4_XS; ``unknown`` where the name tells no bits."""
    name = name.upper()
    if name.startswith("MXFP4"):
        return "mxfp4"
    if name in _EXACT:
        return _EXACT[name]
    for prefix in ("IQ", "TQ", "Q"):
        bits = name[len(prefix) : len(prefix) + 1]
        if name.startswith(prefix) and bits.isdigit():
            found = f"int{bits}"
            return found if found in CLASSES else UNKNOWN
    return UNKNOWN


def matches(name: str, wanted: frozenset[str]) -> bool:
    """Whether a GGUF quantization is among ``wanted``: classes or exact names, in small letters."""
    found = class_of(name)
    return found in wanted or name.lower() in wanted or (found == "mxfp4" and "fp4" in wanted)
