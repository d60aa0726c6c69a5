"""Loads a GGUF's weights, for whatever they are to be used; they stay until the process ends."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import llama_cpp

from peernode.engine.errors import ModelLoadFailed
from peernode.engine.protocol import Load
from peernode.engine.worker.native_log import NativeLog


def load_weights(order: Load, log: NativeLog, on_progress: Callable[[float], bool]) -> llama_cpp.llama_model_p:
    """Raises ModelLoadFailed. ``on_progress`` returns False to give up."""
    parameters = llama_cpp.llama_model_default_params()
    parameters.n_gpu_layers = order.gpu_layers if offloads(order) else 0
    callback = llama_cpp.llama_progress_callback(lambda fraction, _: on_progress(fraction))
    parameters.progress_callback = callback
    model = llama_cpp.llama_model_load_from_file(order.path.encode(), parameters)
    if not model:
        raise ModelLoadFailed(
            "The model file cannot be loaded.",
            cause=log.last_error or "llama.cpp gave no reason",
            remedy="Check that the file is a complete GGUF of a supported architecture and fits the memory.",
        )
    return model


def offloads(order: Load) -> bool:
    """Whether layers go to a GPU."""
    return order.gpu_layers != 0 and bool(llama_cpp.llama_supports_gpu_offload())


def metadata(model: llama_cpp.llama_model_p, key: bytes) -> str:
    """One of the model's texts; empty where it has none."""
    buffer = ctypes.create_string_buffer(256)
    length = llama_cpp.llama_model_meta_val_str(model, key, buffer, len(buffer))
    return buffer.value.decode("utf-8", "replace") if length > 0 else ""
