"""How much context fits the memory: the KV cache shrinks to what is left beside the weights, or the model is refused.

Pure arithmetic over the header's facts. The estimate is an upper bound (layers with a sliding window or without
attention need less), so a plan that is reduced may be more careful than it had to be; ``kv_tokens`` overrides it up
to all the memory there is.
"""

from __future__ import annotations

from dataclasses import dataclass

from peernode.engine.errors import ModelLoadFailed
from peernode.engine.gguf_model import ModelHeader

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
    header: ModelHeader, *, context: int, slots: int, kv_tokens: int | None, available: int | None
) -> MemoryPlan:
    """Raises ModelLoadFailed when the model cannot run in ``available`` bytes; None means that nobody knows."""
    wanted = min(context, header.context_length)
    cells = kv_tokens or max(wanted, slots * 1024)
    if available is None:
        return MemoryPlan(cells, min(wanted, cells))
    left = available - header.tensor_bytes - _BESIDE
    if left <= 0:
        raise ModelLoadFailed(
            "The model does not fit the memory.",
            cause=f"it needs about {_gib(header.tensor_bytes + _BESIDE)}, {_gib(available)} are free",
            remedy="Use a smaller or more quantized model, or free some memory.",
        )
    fitting = left // header.kv_bytes // _STEP * _STEP if header.kv_bytes else cells
    if cells <= fitting:
        return MemoryPlan(cells, min(wanted, cells))
    need = f"{cells} tokens of context need {_gib(cells * header.kv_bytes)}, {_gib(left)} are left beside the weights"
    if kv_tokens and cells * header.kv_bytes <= available:
        return MemoryPlan(cells, min(wanted, cells), (f"kv_tokens may be too large: {need}.",))
    if kv_tokens or fitting < min(_LEAST_CONTEXT, wanted):
        raise ModelLoadFailed(
            "There is no memory for the model's context.",
            cause=need,
            remedy="Lower kv_tokens." if kv_tokens else "Use a smaller model, or free some memory.",
        )
    reduced = min(wanted, fitting)
    return MemoryPlan(fitting, reduced, (f"The context is reduced to {reduced} tokens, {fitting} in all: {need}.",))


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB"
