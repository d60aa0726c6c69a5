"""Applies LoRA adapters to a context, when the model is loaded and for good."""

from __future__ import annotations

import ctypes
from pathlib import Path

import llama_cpp

from peernode.engine.errors import ModelLoadFailed
from peernode.engine.lora import inspect_adapter
from peernode.engine.model_parts import InspectedModel
from peernode.engine.protocol import Load
from peernode.engine.worker.native_log import NativeLog


def adapter_bytes(order: Load, model: InspectedModel) -> int:
    """What the adapters' tensors take. Looks at each file once more, just before native code does.

    Raises ModelLoadFailed.
    """
    architecture = model.header.architecture
    return sum(inspect_adapter(Path(path), architecture, model.shapes) for path, _ in order.lora)


def load_adapters(model: llama_cpp.llama_model_p, order: Load, log: NativeLog) -> list[llama_cpp.llama_adapter_lora_p]:
    """Call before a context is made, which reserves memory for what the adapters compute. Raises ModelLoadFailed."""
    loaded = []
    for path, _ in order.lora:
        adapter = llama_cpp.llama_adapter_lora_init(model, path.encode())
        if not adapter:
            raise ModelLoadFailed(
                "A LoRA adapter cannot be loaded.",
                cause=f"{Path(path).name}: {log.last_error or 'llama.cpp gave no reason'}",
                remedy="Name an adapter that was made for this very model, converted to GGUF.",
            )
        loaded.append(adapter)
    return loaded


def apply_adapters(
    context: llama_cpp.llama_context_p, adapters: list[llama_cpp.llama_adapter_lora_p], order: Load, log: NativeLog
) -> None:
    """Raises ModelLoadFailed."""
    if not adapters:
        return
    handles = (llama_cpp.llama_adapter_lora_p_ctypes * len(adapters))(
        *(ctypes.cast(adapter, llama_cpp.llama_adapter_lora_p_ctypes) for adapter in adapters)
    )
    scales = (ctypes.c_float * len(adapters))(*(scale for _, scale in order.lora))
    if llama_cpp.llama_set_adapters_lora(context, handles, len(adapters), scales):
        raise ModelLoadFailed("The LoRA adapters cannot be applied.", cause=log.last_error)
