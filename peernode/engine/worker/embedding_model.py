"""Loads one GGUF to make embeddings, and makes them: several inputs in one batch, each a unit vector.

Owns llama.cpp's parameters for that. An input is pooled as a whole, so batch and micro-batch are as large as the
longest input may be.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from peernode.engine.embedding_window import beside_embedding, embedding_window
from peernode.engine.errors import ModelLoadFailed
from peernode.engine.machine import available_memory
from peernode.engine.memory_plan import plan_memory, planned_bytes
from peernode.engine.model_parts import inspect_model
from peernode.engine.protocol import Load, Ready
from peernode.engine.quantization import quantization_name
from peernode.engine.worker.adapters import adapter_bytes, apply_adapters, load_adapters
from peernode.engine.worker.choices import chosen
from peernode.engine.worker.lifeline import limit_data
from peernode.engine.worker.native_log import NativeLog
from peernode.engine.worker.sequence import TokenArray
from peernode.engine.worker.weights import load_weights, metadata, offloads
from peernode.wire import canonical
from peernode.wire.receipt import EMBEDDING_METHOD

Floats: TypeAlias = NDArray[np.float32]

METHOD = f"{EMBEDDING_METHOD}1"
_POOLINGS = {
    "mean": llama_cpp.LLAMA_POOLING_TYPE_MEAN,
    "cls": llama_cpp.LLAMA_POOLING_TYPE_CLS,
    "last": llama_cpp.LLAMA_POOLING_TYPE_LAST,
}
_MOST_SEQUENCES = 64


def makes_embeddings(order: Load) -> bool:
    """Whether the order is for an embedder: it says so, or the model is one. Raises ModelLoadFailed."""
    return order.embeddings or inspect_model(Path(order.path)).header.is_embedder


class EmbeddingModel:
    """``embed`` up to ``sequences`` inputs of together ``window`` tokens. Raises ModelLoadFailed when made."""

    def __init__(self, order: Load, log: NativeLog, on_progress: Callable[[float], bool]) -> None:
        llama_cpp.llama_backend_init()
        inspected = inspect_model(Path(order.path))
        header = inspected.header
        self.window = embedding_window(header, context=order.context, batch_tokens=order.batch_tokens)
        self.sequences = min(_MOST_SEQUENCES, self.window)
        on_gpu = offloads(order)
        self.order = order = chosen(order, offloads=on_gpu)
        beside = adapter_bytes(order, inspected) + beside_embedding(header, self.window)
        available = None if on_gpu else available_memory()
        if available is not None:
            available = min(available, order.memory or available)
            limit_data(available)
        plan = plan_memory(
            header, context=self.window, slots=1, kv_tokens=self.window, available=available, beside=beside
        )
        model = load_weights(order, log, on_progress)
        adapters = load_adapters(model, order, log)
        self._vocabulary = llama_cpp.llama_model_get_vocab(model)
        self.vocabulary_size: int = llama_cpp.llama_vocab_n_tokens(self._vocabulary)
        self._context, pooling = self._create_context(model, order, log)
        apply_adapters(self._context, adapters, order, log)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self.width: int = llama_cpp.llama_model_n_embd_out(model)
        self._batch = _Batch(self.window)
        memory = 0 if on_gpu else planned_bytes(header, plan, beside=beside)
        self.facts = Ready(
            architecture=metadata(model, b"general.architecture"),
            parameters=llama_cpp.llama_model_n_params(model),
            quantization=quantization_name(header.file_type),
            context_length=self.window,
            kv_tokens=self.window,
            template_digest=canonical.digest(b""),
            sampler_version=f"{METHOD} {pooling}",
            threads=order.threads,
            notes=list(plan.notes),
            memory_bytes=memory,
            mapped_bytes=min(memory, header.tensor_bytes),
            features=["embeddings"],
        )

    def tokenise(self, text: str) -> TokenArray | None:
        """With whatever the model wants before and after; None when there are more than ``window``."""
        raw = text.encode("utf-8", "replace")
        ids = np.empty(self.window + 1, np.int32)
        pointer = ids.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token))
        count = llama_cpp.llama_tokenize(self._vocabulary, raw, len(raw), pointer, len(ids), True, False)
        return ids[:count].copy() if 0 <= count <= self.window else None

    def embed(self, inputs: Sequence[TokenArray]) -> list[Floats] | None:
        """One unit vector for each input, in order; None when llama.cpp fails or a vector is not finite."""
        batch = self._batch.fill(inputs)
        if self._memory:
            llama_cpp.llama_memory_clear(self._memory, True)
            failed = llama_cpp.llama_decode(self._context, batch)
        else:
            failed = llama_cpp.llama_encode(self._context, batch)
        if failed:
            return None
        vectors = []
        for sequence in range(len(inputs)):
            pointer = llama_cpp.llama_get_embeddings_seq(self._context, sequence)
            vector = np.ctypeslib.as_array(pointer, (self.width,)).astype(np.float64) if pointer else np.zeros(1)
            length = float(np.linalg.norm(vector))
            if not np.isfinite(length) or length <= 0:
                return None
            vectors.append((vector / length).astype(np.float32))
        return vectors

    def _create_context(
        self, model: llama_cpp.llama_model_p, order: Load, log: NativeLog
    ) -> tuple[llama_cpp.llama_context_p, str]:
        """And the name of the pooling: what was asked for, else the model's own, else the mean."""
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = self.window
        parameters.n_seq_max = self.sequences
        parameters.kv_unified = True
        parameters.embeddings = True
        parameters.n_threads = parameters.n_threads_batch = order.threads
        parameters.no_perf = True
        wanted = _POOLINGS.get(order.pooling, llama_cpp.LLAMA_POOLING_TYPE_UNSPECIFIED)
        for pooling in (wanted, _POOLINGS["mean"]):
            parameters.pooling_type = pooling
            context = llama_cpp.llama_init_from_model(model, parameters)
            if not context:
                raise ModelLoadFailed(
                    "There is no memory for the model's context.",
                    cause=log.last_error or f"{self.window} tokens were asked for",
                    remedy="Lower context or batch_tokens.",
                )
            found = llama_cpp.llama_pooling_type(context)
            name = next((name for name, number in _POOLINGS.items() if number == found), None)
            if name is not None:
                return context, name
            llama_cpp.llama_free(context)
            if found != llama_cpp.LLAMA_POOLING_TYPE_NONE:
                break
        raise ModelLoadFailed("The model ranks texts, it makes no embeddings.", remedy="Use an embedding model.")


class _Batch:
    """llama.cpp's batch over arrays that outlive it."""

    def __init__(self, tokens: int) -> None:
        self._tokens = np.zeros(tokens, np.int32)
        self._positions = np.zeros(tokens, np.int32)
        self._counts = np.ones(tokens, np.int32)
        self._sequences = np.zeros(tokens, np.int32)
        self._wants = np.ones(tokens, np.int8)
        pointer = ctypes.POINTER(ctypes.c_int32)
        # llama.cpp reads one pointer per token and expects the list to end with a null pointer.
        self._pointers = (pointer * (tokens + 1))(
            *(ctypes.cast(self._sequences.ctypes.data + 4 * at, pointer) for at in range(tokens))
        )
        self._batch = llama_cpp.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            embd=None,
            pos=self._positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            n_seq_id=self._counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            seq_id=self._pointers,
            logits=self._wants.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, inputs: Sequence[TokenArray]) -> llama_cpp.llama_batch:
        """Each input is a sequence of its own, numbered from 0."""
        start = 0
        for sequence, tokens in enumerate(inputs):
            end = start + len(tokens)
            self._tokens[start:end] = tokens
            self._positions[start:end] = np.arange(end - start)
            self._sequences[start:end] = sequence
            start = end
        self._batch.n_tokens = start
        return self._batch
