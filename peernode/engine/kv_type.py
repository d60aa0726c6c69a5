"""How keys and values are kept in a model's memory, and what that takes."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

# "auto" is f16 values; keys are q8_0 on the CPU, which makes answers the same in any company, and f16 elsewhere.
KvType: TypeAlias = Literal["auto", "f16", "q8_0", "q4_0"]
KV_TYPES: tuple[str, ...] = get_args(KvType)

# Of what f16 takes; "auto" is counted in full, for heads of odd widths cannot be quantized.
_SHARE = {"auto": (1, 1), "f16": (1, 1), "q8_0": (34, 64), "q4_0": (18, 64)}


def kept_bytes(f16_bytes: int, kv_type: str) -> int:
    """What ``kv_type`` takes where f16 takes ``f16_bytes``, rounded up."""
    part, whole = _SHARE[kv_type]
    return -(-f16_bytes * part // whole)
