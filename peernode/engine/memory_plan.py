"""How much context fits the memory: the KV cache shrinks to what is left beside the weights, or the model is refused.

Pure arithmetic over the header's facts. The estimate is an upper bound (layers with a sliding window or without
attention need less), so a plan that is reduced may be more careful than it had to be; ``kv_tokens`` overrides it up
to all the memory there is.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.engine.errors import NotEnoughMemory
from peernode.engine.gguf_model import ModelHeader
from peernode.engine.kv_type import kept_bytes

# Compute buffers, the vocabulary's tables, Python itself.
_BESIDE = 256 << 20
_LEAST_CONTEXT = 512
_STEP = 256  # llama.cpp rounds the cache's size up to this


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """``kv_tokens`` cells in all, ``context`` for one sequence; ``notes`` say what is less than was asked for."""

    kv_tokens: int
    context: int
    notes: tuple[str, ...] = ()


def plan_memory(
    header: ModelHeader,
    *,
    context: int,
    slots: int,
    kv_tokens: int | None,
    available: int | None,
    kv_type: str = "auto",
    beside: int = 0,
) -> MemoryPlan:
    """``beside`` are bytes that belong to the model besides its weights (adapters).

    Raises NotEnoughMemory when the model cannot run in ``available`` bytes; None means that nobody knows.
    """
    wanted, cells = _wanted(header, context, slots, kv_tokens)
    if available is None:
        return MemoryPlan(cells, min(wanted, cells))
    kv_bytes = kept_bytes(header.kv_bytes, kv_type)
    fixed = header.tensor_bytes + beside + _BESIDE
    left = available - fixed
    if left <= 0:
        raise NotEnoughMemory(
            "The model does not fit the memory.",
            cause=f"it needs about {_gib(fixed)}, {_gib(available)} are free",
            remedy="Use a smaller or more quantized model, or free some memory.",
        )
    fitting = left // kv_bytes // _STEP * _STEP if kv_bytes else cells
    if cells <= fitting:
        return MemoryPlan(cells, min(wanted, cells))
    need = f"{cells} tokens of context need {_gib(cells * kv_bytes)}, {_gib(left)} are left beside the weights"
    if kv_tokens and cells * kv_bytes <= available:
        return MemoryPlan(cells, min(wanted, cells), (f"kv_tokens may be too large: {need}.",))
    if kv_tokens or fitting < min(_LEAST_CONTEXT, wanted):
        raise NotEnoughMemory(
            "There is no memory for the model's context.",
            cause=need,
            remedy="Lower kv_tokens." if kv_tokens else "Use a smaller model, or free some memory.",
        )
    reduced = min(wanted, fitting)
    return MemoryPlan(fitting, reduced, (f"The context is reduced to {reduced} tokens, {fitting} in all: {need}.",))


def wanted_bytes(
    header: ModelHeader, *, context: int, slots: int, kv_tokens: int | None, kv_type: str = "auto", beside: int = 0
) -> int:
    """What the model takes when it gets all the context that was asked for."""
    wanted, cells = _wanted(header, context, slots, kv_tokens)
    return planned_bytes(header, MemoryPlan(cells, wanted), kv_type=kv_type, beside=beside)


def planned_bytes(header: ModelHeader, plan: MemoryPlan, *, kv_type: str = "auto", beside: int = 0) -> int:
    """What the model takes when it runs as planned."""
    return header.tensor_bytes + beside + _BESIDE + plan.kv_tokens * kept_bytes(header.kv_bytes, kv_type)


def _wanted(header: ModelHeader, context: int, slots: int, kv_tokens: int | None) -> tuple[int, int]:
    """(tokens for one sequence, cells in all)."""
    wanted = min(context, header.context_length)
    return wanted, kv_tokens or max(wanted, slots * 1024)


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB"
