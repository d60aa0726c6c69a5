"""A model's image projector: pixels to embeddings through llama.cpp's multimodal library (mtmd).

Owns the mtmd context and all native memory that belongs to one picture. mtmd encodes one picture at a time per context;
callers see to that. Its own file readers are never used: they would start programs on bytes that a stranger sent.
"""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import llama_cpp
import numpy as np
from llama_cpp import mtmd_cpp as mtmd
from numpy.typing import NDArray

from peernode.chat.errors import ProviderFailed
from peernode.engine.errors import ModelLoadFailed
from peernode.engine.worker.candidates import Floats
from peernode.engine.worker.native_log import NativeLog
from peernode.engine.worker.sequence import TokenArray
from peernode.engine.worker.vision.picture import LONGEST_SIDE, Pixels
from peernode.engine.worker.vision.projector_file import inspect_projector

# Sizes whose tokens are looked at when a projector is loaded: one tile, many tiles, and the strips between.
_PROBES = ((64, 64), (LONGEST_SIDE, LONGEST_SIDE), (64, LONGEST_SIDE), (LONGEST_SIDE, 64))


@dataclass(frozen=True, eq=False, slots=True)
class EncodedRun:
    """One run of a picture's embeddings as the library gives it: float32 (cells, width), positions as in ImageRun."""

    embeddings: Floats
    n_pos: int
    causal: bool
    grid: NDArray[np.int32] | None


# A picture becomes runs of embeddings, and tokens of the markers around and between them.
Piece: TypeAlias = TokenArray | EncodedRun


class Projector:
    """``encode`` is for one caller at a time.

    ``cells`` is the most that one run of a non-causal projector takes, which must fit one batch of the model; 0 for
    others, whose runs can be cut.
    """

    def __init__(self, handle: mtmd.mtmd_context_p, model: llama_cpp.llama_model_p, *, budget: int) -> None:
        """Raises ModelLoadFailed when a probe shows that this projector does not fit the model."""
        self._handle = handle
        self._width: int = llama_cpp.llama_model_n_embd_inp(model)
        self._grid = bool(mtmd.mtmd_decode_use_mrope(handle))
        self.cells = self._probe(budget)

    def encode(self, pixels: Pixels, *, within: Callable[[int], None] = lambda _cells: None) -> list[Piece]:
        """What stands for the picture in a prompt. ``within`` is told first how many cells it takes, and may raise.

        Raises ProviderFailed when the library fails or gives numbers that are none.
        """
        with self._chunks(pixels) as chunks:
            within(sum(int(mtmd.mtmd_input_chunk_get_n_tokens(chunk)) for chunk in chunks if not _is_text(chunk)))
            return [self._marker(chunk) if _is_text(chunk) else self._encode(chunk) for chunk in chunks]

    def _encode(self, chunk: Any) -> EncodedRun:  # noqa: ANN401 - a native pointer
        cells = int(mtmd.mtmd_input_chunk_get_n_tokens(chunk))
        failure = mtmd.mtmd_encode_chunk(self._handle, chunk)
        if failure:
            raise ProviderFailed("An image could not be encoded.", cause=f"mtmd_encode_chunk returned {failure}")
        # The next encoding overwrites what this points to.
        found = np.ctypeslib.as_array(mtmd.mtmd_get_output_embd(self._handle), (cells, self._width))
        embeddings: Floats = np.array(found, np.float32)
        if not np.isfinite(embeddings).all():
            raise ProviderFailed("An image could not be encoded.", cause="its embeddings are not finite")
        return EncodedRun(
            embeddings,
            int(mtmd.mtmd_input_chunk_get_n_pos(chunk)),
            not mtmd.mtmd_decode_use_non_causal(self._handle, chunk),
            self._positions(chunk, cells) if self._grid else None,
        )

    def _positions(self, chunk: Any, cells: int) -> NDArray[np.int32]:  # noqa: ANN401 - a native pointer
        image = mtmd.mtmd_input_chunk_get_tokens_image(chunk)
        each = (mtmd.mtmd_image_tokens_get_decoder_pos(image, 0, cell) for cell in range(cells))
        return np.array([(at.t, at.y, at.x, at.z) for at in each], np.int32).T.copy()

    def _marker(self, chunk: Any) -> TokenArray:  # noqa: ANN401 - a native pointer
        size = ctypes.c_size_t()
        pointer = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(size))
        return np.array(pointer[: size.value], np.int32)

    @contextmanager
    def _chunks(self, pixels: Pixels) -> Iterator[list[Any]]:
        """The native pieces of one picture, preprocessed and not yet encoded; gone after the context."""
        height, width, channels = pixels.shape
        assert channels == 3 and pixels.dtype == np.uint8
        pixels = np.ascontiguousarray(pixels)
        bitmap = mtmd.mtmd_bitmap_init(width, height, pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)))
        chunks = mtmd.mtmd_input_chunks_init()
        part = mtmd.mtmd_input_part()
        part.bitmap = bitmap
        parts = (ctypes.POINTER(mtmd.mtmd_input_part) * 1)(ctypes.pointer(part))
        try:
            failure = mtmd.mtmd_tokenize_from_parts(self._handle, chunks, parts, 1, False)
            if failure:
                raise ProviderFailed("An image could not be prepared.", cause=f"mtmd returned {failure}")
            yield [mtmd.mtmd_input_chunks_get(chunks, at) for at in range(mtmd.mtmd_input_chunks_size(chunks))]
        finally:
            mtmd.mtmd_input_chunks_free(chunks)
            mtmd.mtmd_bitmap_free(bitmap)

    def _probe(self, budget: int) -> int:
        """Look at the tokens of several sizes and encode the smallest, so that what can go wrong does so now."""
        most = 0
        uncut = False
        try:
            for height, width in _PROBES:
                with self._chunks(np.zeros((height, width, 3), np.uint8)) as chunks:
                    for chunk in chunks:
                        if _is_text(chunk):
                            self._check_marker(self._marker(chunk))
                            continue
                        most = max(most, int(mtmd.mtmd_input_chunk_get_n_tokens(chunk)))
                        uncut = uncut or bool(mtmd.mtmd_decode_use_non_causal(self._handle, chunk))
            height, width = _PROBES[0]
            self.encode(np.zeros((height, width, 3), np.uint8))
        except ProviderFailed as err:
            raise unusable(err.cause) from err
        return min(most, budget) if uncut else 0

    def _check_marker(self, ids: TokenArray) -> None:
        if len(ids) and ids.min() < 0:
            raise unusable("the model's vocabulary lacks the tokens that the projector puts around images")


def load_projector(
    path: Path, model: llama_cpp.llama_model_p, log: NativeLog, *, budget: int, threads: int, use_gpu: bool
) -> Projector:
    """Raises ModelLoadFailed. ``budget`` bounds the cells of a picture where the projector lets one choose."""
    inspect_projector(path)
    log.attach(mtmd.mtmd_helper_log_set)
    parameters = mtmd.mtmd_context_params_default()
    parameters.use_gpu = use_gpu
    parameters.n_threads = threads
    parameters.print_timings = False
    parameters.warmup = False
    parameters.image_max_tokens = budget
    # Only parts are tokenised here, never text with markers; still, nobody shall be able to write the marker.
    marker = f"<__media_{secrets.token_hex(8)}__>".encode()
    parameters.media_marker = marker
    handle = mtmd.mtmd_init_from_file(str(path).encode(), model, parameters)
    if not handle:
        raise unusable(log.last_error or "llama.cpp gave no reason")
    if not mtmd.mtmd_support_vision(handle):
        raise unusable("it is not for images")
    return Projector(handle, model, budget=budget)


def unusable(cause: str) -> ModelLoadFailed:
    """The error for a projector that this model cannot work with."""
    return ModelLoadFailed(
        "The image projector does not work with this model.",
        cause=cause,
        remedy="Name the projector (mmproj) file that was published with this model.",
    )


def _is_text(chunk: Any) -> bool:  # noqa: ANN401 - a native pointer
    return bool(mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT)
