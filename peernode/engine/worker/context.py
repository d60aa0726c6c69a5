"""A llama.cpp context as the batcher's backend: one batch of numpy arrays, filled in place and decoded.

Owns the arrays, which must outlive every decode, and the views on the logits. Python objects are made per sequence
and step, never per token.
"""

from __future__ import annotations

import ctypes
import time

import llama_cpp
import numpy as np

from peernode.engine.worker.candidates import Floats
from peernode.engine.worker.crew import Crew
from peernode.engine.worker.host_memory import kept_bytes
from peernode.engine.worker.prefix_store import Blob
from peernode.engine.worker.sequence import TokenArray
from peernode.engine.worker.vision.embedding_batch import decode_embeddings

# llama.cpp's CPU attention works row by row up to 63 rows of one kernel call, so that a row's result depends neither on
# its company nor on how a prompt was cut. From 64 rows on it works in tiles, and the company decides how they round.
EXACT_ROWS = 60
_BYTES = ctypes.POINTER(ctypes.c_uint8)


class DecodeContext:
    """Implements ``backend.Backend``. ``handle`` must have a unified memory and room for ``outputs`` rows of logits.

    ``sequences`` and ``kernel_rows`` are explained there. ``crew``: how many threads compute, where processors do.
    """

    def __init__(
        self,
        handle: llama_cpp.llama_context_p,
        *,
        vocabulary: int,
        outputs: int,
        batch_tokens: int,
        sequences: int = 0,
        kernel_rows: int = 0,
        crew: Crew | None = None,
    ) -> None:
        """Where ``sequences`` can share cells, the context has two more: for moving cells to and from the host, and for
        the shelf.
        """
        self.sequences = sequences
        self._moving, self._shelf = sequences, sequences + 1
        self.kernel_rows = kernel_rows
        self._crew = crew
        self._handle = handle
        self._memory = llama_cpp.llama_get_memory(handle)
        self._shape = (outputs, vocabulary)
        self._logits_at = 0
        self._logits: Floats = np.zeros((0, vocabulary), np.float32)
        self._tokens = np.zeros(batch_tokens, np.int32)
        self._positions = np.zeros(batch_tokens, np.int32)
        self._sequence_counts = np.ones(batch_tokens, np.int32)
        self._sequences = np.zeros(batch_tokens, np.int32)
        self._wants = np.zeros(batch_tokens, np.int8)
        self._counting = np.arange(batch_tokens, dtype=np.int32)
        self._used = 0
        self._batch = self._point_batch()

    def begin(self) -> None:
        self._used = 0

    def add(self, tokens: TokenArray, position: int, slot: int, *, outputs: int) -> None:
        start, end = self._used, self._used + len(tokens)
        self._tokens[start:end] = tokens
        self._positions[start:end] = self._counting[: end - start] + position
        self._sequences[start:end] = slot
        self._wants[start:end] = 0
        self._wants[end - outputs : end] = 1
        self._used = end

    def decode(self) -> int:
        self._batch.n_tokens = self._used
        began_s, used_s = time.perf_counter(), time.process_time()
        failure: int = llama_cpp.llama_decode(self._handle, self._batch)
        if not failure:
            # A GPU works on after the call; waiting here keeps the measured time of a step honest.
            llama_cpp.llama_synchronize(self._handle)
            self._locate_logits()
            self._review_crew(began_s, used_s)
        return failure

    def _review_crew(self, began_s: float, used_s: float) -> None:
        now_s = time.perf_counter()
        if self._crew and self._crew.observe(now_s - began_s, time.process_time() - used_s, now_s):
            threads = self._crew.threads
            llama_cpp.llama_set_n_threads(self._handle, threads, threads)

    def decode_embeddings(self, embeddings: Floats, positions: TokenArray, slot: int, *, causal: bool) -> int:
        return decode_embeddings(self._handle, embeddings, positions, slot, causal=causal)

    def logits(self, row: int) -> Floats:
        return self._logits[row]

    def forget(self, slot: int) -> None:
        llama_cpp.llama_memory_seq_rm(self._memory, slot, -1, -1)

    def cut(self, slot: int, position: int) -> None:
        if not llama_cpp.llama_memory_seq_rm(self._memory, slot, position, -1):
            self.forget(slot)

    def shelve(self, slot: int, position: int) -> None:
        llama_cpp.llama_memory_seq_cp(self._memory, slot, self._shelf, position, -1)
        self.cut(slot, position)

    def clear_shelf(self) -> None:
        self.forget(self._shelf)

    def adopt(self, slot: int, source: int, begin: int, end: int) -> None:
        llama_cpp.llama_memory_seq_rm(self._memory, slot, begin, end)
        llama_cpp.llama_memory_seq_cp(self._memory, source, slot, begin, end)

    def save(self, slot: int, begin: int, end: int) -> Blob | None:
        """llama.cpp saves whole sequences, so these cells are one for a moment."""
        self.adopt(self._moving, slot, begin, end)
        size = llama_cpp.llama_state_seq_get_size(self._handle, self._moving)
        data = kept_bytes(size)
        written = llama_cpp.llama_state_seq_get_data(self._handle, data.ctypes.data_as(_BYTES), size, self._moving)
        self.forget(self._moving)
        return data if written == size else None

    def restore(self, slot: int, begin: int, end: int, data: Blob) -> bool:
        read = llama_cpp.llama_state_seq_set_data(self._handle, data.ctypes.data_as(_BYTES), len(data), self._moving)
        if read:
            self.adopt(slot, self._moving, begin, end)
        self.forget(self._moving)
        return bool(read)

    def _locate_logits(self) -> None:
        """llama.cpp moves its output buffer when it grows; the view is made anew only then."""
        pointer = llama_cpp.llama_get_logits(self._handle)
        address = ctypes.addressof(pointer.contents) if pointer else 0
        if address and address != self._logits_at:
            self._logits = np.ctypeslib.as_array(pointer, self._shape)
            self._logits_at = address

    def _point_batch(self) -> llama_cpp.llama_batch:
        sequence = ctypes.POINTER(llama_cpp.llama_seq_id)
        first = self._sequences.ctypes.data
        # llama.cpp reads one pointer per token and expects the list to end with a null pointer.
        self._sequence_pointers = (sequence * (len(self._sequences) + 1))(
            *(ctypes.cast(first + 4 * at, sequence) for at in range(len(self._sequences)))
        )
        batch = llama_cpp.llama_batch()
        batch.token = self._tokens.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token))
        batch.embd = None
        batch.pos = self._positions.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_pos))
        batch.n_seq_id = self._sequence_counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        batch.seq_id = self._sequence_pointers
        batch.logits = self._wants.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
        return batch
