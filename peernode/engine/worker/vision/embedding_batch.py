"""A llama_decode of embeddings instead of tokens: one sequence's picture or a part of it, and nobody else.

Owns the batch's arrays for the length of the call: pointers in a llama_batch keep nothing alive.
"""

from __future__ import annotations

import ctypes

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from peernode.engine.worker.candidates import Floats


def decode_embeddings(
    handle: llama_cpp.llama_context_p, embeddings: Floats, positions: NDArray[np.int32], slot: int, *, causal: bool
) -> int:
    """0 for success, else llama.cpp's reason. No logits are asked for.

    ``embeddings`` is float32 (cells, width); ``positions`` has one number for each cell, or four for M-RoPE, section by
    section. Where ``causal`` is False all of them see each other, and they must fit one ubatch.
    """
    cells = len(embeddings)
    rows = np.ascontiguousarray(embeddings, np.float32)
    places = np.ascontiguousarray(positions, np.int32)
    counts = np.ones(cells, np.int32)
    wants = np.zeros(cells, np.int8)
    owner = (llama_cpp.llama_seq_id * 1)(slot)
    pointer = ctypes.POINTER(llama_cpp.llama_seq_id)
    one = ctypes.cast(owner, pointer)
    owners = (pointer * (cells + 1))(*[one] * cells)  # ends with a null pointer

    batch = llama_cpp.llama_batch()
    batch.n_tokens = cells
    batch.token = None
    batch.embd = rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    batch.pos = places.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_pos))
    batch.n_seq_id = counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
    batch.seq_id = owners
    batch.logits = wants.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
    if not causal:
        llama_cpp.llama_set_causal_attn(handle, False)
    try:
        failure: int = llama_cpp.llama_decode(handle, batch)
    finally:
        if not causal:
            llama_cpp.llama_set_causal_attn(handle, True)
    # The arrays live until here, and a GPU may still be reading them.
    llama_cpp.llama_synchronize(handle)
    return failure
