"""Gives a model its sight when it is loaded: the projector that its load order names."""

from __future__ import annotations

from pathlib import Path

import llama_cpp

from peernode.engine.protocol import Load
from peernode.engine.worker.native_log import NativeLog
from peernode.engine.worker.vision.projector import load_projector
from peernode.engine.worker.vision.sight import Sight


def load_sight(model: llama_cpp.llama_model_p, order: Load, log: NativeLog, *, offloads: bool) -> Sight:
    """Raises ModelLoadFailed."""
    budget = order.image_tokens
    projector = load_projector(
        Path(order.projector), model, log, budget=budget, threads=order.threads, use_gpu=offloads
    )
    return Sight(projector, whole_cells=projector.cells, budget=budget, cache_bytes=order.image_cache_bytes)
