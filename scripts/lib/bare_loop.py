"""Nothing but ``llama_decode`` and argmax, with the batch filled through numpy: what Python can reach at most.

Touches none of peernode's code, so that it stays the same yardstick.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import llama_cpp
import numpy as np

KV_TYPES = {"f16": llama_cpp.GGML_TYPE_F16, "q8_0": llama_cpp.GGML_TYPE_Q8_0}
BATCH = 512


class BareLoop:
    """One context for ``slots`` sequences; ``rate`` empties it first. ``kv`` names the types of keys and values."""

    def __init__(self, path: Path, *, threads: int, slots: int, kv_tokens: int, kv: tuple[str, str]) -> None:
        model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx, parameters.n_batch, parameters.n_ubatch = kv_tokens, BATCH, BATCH
        parameters.n_seq_max = parameters.n_outputs_max = slots
        parameters.kv_unified, parameters.no_perf = True, True
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.type_k, parameters.type_v = (KV_TYPES[name] for name in kv)
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        self._handle = llama_cpp.llama_init_from_model(model, parameters)
        assert self._handle, "no context"
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self._batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self._tokens = np.ctypeslib.as_array(self._batch.token, (BATCH,))
        self._positions = np.ctypeslib.as_array(self._batch.pos, (BATCH,))
        self._wants = np.ctypeslib.as_array(self._batch.logits, (BATCH,))
        np.ctypeslib.as_array(self._batch.n_seq_id, (BATCH,))[:] = 1

    def rate(self, sequences: int, prompt_tokens: int, tokens: int) -> float:
        """Output tokens per second of all, prefill left out. Prompts are random, as llama-batched-bench's are."""
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._handle), False)
        rng = np.random.default_rng(sequences)
        for slot in range(sequences):
            self._fill(
                rng.integers(0, self._vocabulary, prompt_tokens), np.arange(prompt_tokens), [slot] * prompt_tokens
            )
            self._wants[:prompt_tokens] = 0
            self._wants[prompt_tokens - 1] = 1
            self._decode(prompt_tokens)
        slots, nexts = list(range(sequences)), rng.integers(0, self._vocabulary, sequences)
        began = time.perf_counter()
        for number in range(tokens):
            self._fill(nexts, np.full(sequences, prompt_tokens + number), slots if number == 0 else None)
            self._wants[:sequences] = 1
            self._decode(sequences)
            logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(self._handle), (sequences, self._vocabulary))
            nexts = np.array([row.argmax() for row in logits])
        return sequences * tokens / (time.perf_counter() - began)

    def _fill(self, tokens: np.ndarray, positions: np.ndarray, slots: list[int] | None) -> None:
        self._tokens[: len(tokens)] = tokens
        self._positions[: len(tokens)] = positions
        for row, slot in enumerate(slots or ()):
            self._batch.seq_id[row][0] = slot

    def _decode(self, rows: int) -> None:
        self._batch.n_tokens = rows
        assert llama_cpp.llama_decode(self._handle, self._batch) == 0
        llama_cpp.llama_synchronize(self._handle)


def silence_llama() -> None:
    """llama.cpp's log goes nowhere."""
    llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p(0))


_SILENT = llama_cpp.llama_log_callback(lambda *_: None)
