"""What the operator left open in a load order, chosen from this machine: threads and batch sizes."""

from __future__ import annotations

from dataclasses import replace

from peernode.engine.protocol import Load
from peernode.engine.worker.context import EXACT_ROWS
from peernode.engine.worker.cores import usable_cores

# A GPU wants long prompts in big pieces; a CPU gains nothing beyond this, and small steps stay interruptible.
_GPU_BATCH, _CPU_BATCH = 2048, 512
_GPU_UBATCH = 512


def chosen(order: Load, *, offloads: bool) -> Load:
    """``order`` with nothing left open; ``offloads`` says whether layers go to a GPU.

    On a CPU the kernels get no more rows than make a row's result independent of its company.
    """
    batch = order.batch_tokens or max(order.slots, _GPU_BATCH if offloads else _CPU_BATCH)
    ubatch = order.ubatch_tokens or (_GPU_UBATCH if offloads else EXACT_ROWS)
    return replace(order, threads=order.threads or usable_cores(), batch_tokens=batch, ubatch_tokens=min(batch, ubatch))
