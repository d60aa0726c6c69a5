"""Random projectors of every supported shape through the real library: what they make of pictures, against llama.cpp's
own way to evaluate them, and the ones that are refused when they are loaded."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import llama_cpp
import numpy as np
import pytest
from llama_cpp import mtmd_cpp as mtmd

from peernode.chat.errors import BadRequest
from peernode.engine.errors import ModelLoadFailed
from peernode.engine.worker.native_log import NativeLog
from peernode.engine.worker.vision.embedder import Embedder
from peernode.engine.worker.vision.embedding_batch import decode_embeddings
from peernode.engine.worker.vision.projector import EncodedRun, load_projector
from peernode.engine.worker.vision.prompt import assemble
from peernode.engine.worker.vocabulary import Vocabulary
from tests.models import write_tiny_model
from tests.projectors import KINDS, write_seeing_model, write_tiny_projector

BUDGET = 256
RED, BLUE = (255, 0, 0), (0, 0, 255)


def plain(colour: tuple[int, int, int], height: int = 40, width: int = 48) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


@pytest.fixture(scope="module")
def log() -> NativeLog:
    return NativeLog()


class Seeing:
    """A tiny model and its projector, loaded."""

    def __init__(self, directory, kind: str, log: NativeLog) -> None:
        path, self.projector_path = write_seeing_model(directory, kind)
        self.model = load(path)
        self.projector = load_projector(self.projector_path, self.model, log, budget=BUDGET, threads=1, use_gpu=False)
        self.embedder = Embedder(self.projector, cache_bytes=1 << 20)
        self.vocabulary = Vocabulary(llama_cpp.llama_model_get_vocab(self.model))

    def context(self):
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx, parameters.n_batch, parameters.n_ubatch = 1024, 512, 512
        parameters.kv_unified, parameters.n_seq_max, parameters.n_threads = True, 2, 1
        return llama_cpp.llama_init_from_model(self.model, parameters)


def load(path):
    parameters = llama_cpp.llama_model_default_params()
    parameters.n_gpu_layers = 0
    return llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)


@pytest.fixture(scope="module", params=KINDS)
def seeing(request, tmp_path_factory, log) -> Iterator[Seeing]:
    return Seeing(tmp_path_factory.mktemp("seeing"), request.param, log)


def run_of(pieces) -> EncodedRun:
    (run,) = [piece for piece in pieces if isinstance(piece, EncodedRun)]
    return run


def test_two_pictures_differ_and_the_same_is_the_same(seeing):
    red, again, blue = (run_of(seeing.projector.encode(plain(colour))).embeddings for colour in (RED, RED, BLUE))
    assert red.dtype == np.float32
    assert red.shape[1] == 64
    assert (red == again).all()
    assert np.abs(red - blue).max() > 0.1


def test_runs_say_how_they_are_to_be_placed(seeing):
    run = run_of(seeing.projector.encode(plain(RED)))
    kind = seeing.projector_path.stem.removeprefix("mmproj-")
    assert (len(run.embeddings), run.n_pos, run.causal, run.grid is not None, seeing.projector.cells) == {
        "mlp": (16, 16, True, False, 0),
        "gemma3": (4, 4, False, False, 4),
        "qwen2vl_merger": (9, 3, True, True, 0),
    }[kind]


def test_the_budget_is_asked_before_anything_is_encoded(seeing):
    def refuse(cells: int) -> None:
        raise BadRequest(f"{cells} cells")

    with pytest.raises(BadRequest, match=r"\d+ cells"):
        seeing.projector.encode(plain(RED, 1000, 1000), within=refuse)


def test_pictures_of_any_size_stay_near_the_budget(seeing):
    found: list[int] = []
    for height, width in ((1, 1), (1, 2048), (2048, 1), (2048, 2048)):
        seeing.projector.encode(plain(RED, height, width), within=found.append)
    assert min(found) > 0
    assert max(found) <= BUDGET


@pytest.mark.parametrize("pieces_of", [1, 3])
def test_our_decode_gives_the_logits_of_llama_cpp_s_own(seeing, pieces_of):
    """``pieces_of`` more than one: causal runs are cut, others go whole as they must."""
    pixels = plain(BLUE, 40, 72)
    before, after = (seeing.vocabulary.tokenise(text, most=99) for text in ("Look: ", " What is it?"))
    embedded = seeing.embedder.embed(pixels, within=lambda _cells: None)
    feed, layout = assemble([before, after], [embedded])
    handle = seeing.context()
    at = 0
    while at < len(feed):
        span = layout.at(at)
        if span is None:
            end = min(layout.next_start(at) or len(feed), len(feed))
            decode_text(handle, feed[at:end], layout.position(at))
            at = end
        else:
            size = span.run.cells if not span.run.causal else min(span.end - at, -(-span.run.cells // pieces_of))
            embeddings, positions = span.embeddings(at, size), span.positions(at, size)
            assert decode_embeddings(handle, embeddings, positions, 0, causal=span.run.causal) == 0
            at += size
    ours = last_logits(seeing, handle)
    theirs = reference_logits(seeing, pixels)
    assert np.abs(ours - theirs).max() < 1e-4
    assert np.abs(ours - reference_logits(seeing, plain(RED, 40, 72))).max() > 0.1
    llama_cpp.llama_free(handle)


def decode_text(handle, tokens: np.ndarray, position: int) -> None:
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for at, token in enumerate(tokens):
        batch.token[at], batch.pos[at], batch.n_seq_id[at], batch.seq_id[at][0] = int(token), position + at, 1, 0
        batch.logits[at] = at == len(tokens) - 1
    assert llama_cpp.llama_decode(handle, batch) == 0
    llama_cpp.llama_batch_free(batch)


def last_logits(seeing: Seeing, handle) -> np.ndarray:
    pointer = llama_cpp.llama_get_logits_ith(handle, -1)
    return np.ctypeslib.as_array(pointer, (seeing.vocabulary.size,)).copy()


def reference_logits(seeing: Seeing, pixels: np.ndarray) -> np.ndarray:
    """The last token's, by mtmd's own helper."""
    native = seeing.projector._handle
    handle = seeing.context()
    raw = b"Look: " + mtmd.mtmd_get_marker(native) + b" What is it?"
    text = mtmd.mtmd_input_text()
    text.text, text.text_len, text.add_special, text.parse_special = raw, len(raw), False, True
    height, width, _ = pixels.shape
    bitmap = mtmd.mtmd_bitmap_init(width, height, pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)))
    chunks = mtmd.mtmd_input_chunks_init()
    assert mtmd.mtmd_tokenize(native, chunks, ctypes.byref(text), (ctypes.c_void_p * 1)(bitmap), 1) == 0
    past = llama_cpp.llama_pos()
    assert mtmd.mtmd_helper_eval_chunks(native, handle, chunks, 0, 0, 512, True, ctypes.byref(past)) == 0
    logits = last_logits(seeing, handle)
    mtmd.mtmd_input_chunks_free(chunks)
    mtmd.mtmd_bitmap_free(bitmap)
    llama_cpp.llama_free(handle)
    return logits


def refusal(model, projector, log) -> str:
    with pytest.raises(ModelLoadFailed) as caught:
        load_projector(projector, model, log, budget=BUDGET, threads=1, use_gpu=False)
    assert "image projector" in caught.value.sentence
    return caught.value.cause


def test_a_projector_into_another_width_is_refused(tmp_path, log):
    model = load(write_tiny_model(tmp_path / "tiny.gguf"))
    assert refusal(model, write_tiny_projector(tmp_path / "mm.gguf", out=128), log)


def test_a_projector_whose_markers_the_model_does_not_know_is_refused(tmp_path, log):
    model = load(write_tiny_model(tmp_path / "tiny.gguf"))
    assert "lacks the tokens" in refusal(model, write_tiny_projector(tmp_path / "mm.gguf", "idefics3"), log)


def test_a_projector_that_makes_numbers_that_are_none_is_refused(tmp_path, log):
    model = load(write_tiny_model(tmp_path / "tiny.gguf"))
    assert "not finite" in refusal(model, write_tiny_projector(tmp_path / "mm.gguf", spread=float("inf")), log)


def test_a_model_is_no_projector_and_a_projector_no_model(tmp_path, log):
    path = write_tiny_model(tmp_path / "tiny.gguf")
    assert "another kind" in refusal(load(path), path, log)
