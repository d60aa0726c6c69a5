"""Random image projectors for tests: three kinds of them, a few hundred KB each, written on the spot."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import gguf
import numpy as np

from tests.models import write_tiny_model

KINDS = ("mlp", "gemma3", "qwen2vl_merger")
WIDTH, LAYERS, HEADS, FEED, PATCH = 64, 2, 4, 128, 8


def write_tiny_projector(
    path: Path,
    kind: str = "mlp",
    *,
    out: int = 64,
    side: int = 32,
    merge: int = 2,
    heads: int = HEADS,
    seed: int = 0,
    without: Collection[str] = (),
    spread: float = 0.3,
) -> Path:
    """A projector into a model of width ``out``; keys and tensors named in ``without`` are left out.

    mlp makes (side / 8)² cells of a picture and gemma3 (side / 8 / merge)², of any size; qwen2vl_merger makes more of
    larger ones. ``idefics3`` cuts them into tiles.
    """
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "clip")
    keys: dict[str, bool | int | float | str | list[float]] = {
        "clip.has_vision_encoder": True,
        "clip.projector_type": kind,
        "clip.use_gelu": True,
        "clip.vision.image_size": side,
        "clip.vision.patch_size": PATCH,
        "clip.vision.embedding_length": WIDTH,
        "clip.vision.feed_forward_length": FEED,
        "clip.vision.block_count": LAYERS,
        "clip.vision.projection_dim": out,
        "clip.vision.attention.head_count": heads,
        "clip.vision.attention.layer_norm_epsilon": 1e-6,
        "clip.vision.image_mean": [0.5] * 3,
        "clip.vision.image_std": [0.5] * 3,
    }
    if kind in ("gemma3", "idefics3"):
        keys["clip.vision.projector.scale_factor"] = merge
    for key, value in keys.items():
        if key not in without:
            _add(writer, key, value)
    for name, tensor in _tensors(kind, rng, out=out, side=side, merge=merge, spread=spread).items():
        if name not in without:
            writer.add_tensor(name, tensor.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_seeing_model(directory: Path, kind: str, *, side: int = 32) -> tuple[Path, Path]:
    """A tiny model whose memory is exact (two heads), and a projector of ``kind`` for it."""
    mrope = kind == "qwen2vl_merger"
    model = write_tiny_model(
        directory / f"tiny-{kind}.gguf",
        heads=2,
        sections=[4, 6, 6, 0] if mrope else (),
        more_special=("<|vision_start|>", "<|vision_end|>") if mrope else (),
    )
    return model, write_tiny_projector(directory / f"mmproj-{kind}.gguf", kind, side=side)


def _tensors(
    kind: str, rng: np.random.Generator, *, out: int, side: int, merge: int, spread: float
) -> dict[str, np.ndarray]:
    made: dict[str, np.ndarray] = {}

    def linear(name: str, rows: int, columns: int, std: float = 0.1) -> None:
        made[name + ".weight"] = rng.normal(0, std, (rows, columns))
        made[name + ".bias"] = rng.normal(0, 0.05, rows)

    def norm(name: str) -> None:
        made[name + ".weight"] = np.ones(WIDTH)
        made[name + ".bias"] = rng.normal(0, 0.05, WIDTH)

    made["v.patch_embd.weight"] = rng.normal(0, 0.1, (WIDTH, 3, PATCH, PATCH))
    if kind == "qwen2vl_merger":
        made["v.patch_embd.weight.1"] = rng.normal(0, 0.1, (WIDTH, 3, PATCH, PATCH))
    else:
        made["v.patch_embd.bias"] = rng.normal(0, 0.05, WIDTH)
        made["v.position_embd.weight"] = rng.normal(0, 0.05, ((side // PATCH) ** 2, WIDTH))
    norm("v.post_ln")
    for layer in range(LAYERS):
        block = f"v.blk.{layer}."
        norm(block + "ln1")
        norm(block + "ln2")
        for part in ("q", "k", "v", "out"):
            linear(f"{block}attn_{part}", WIDTH, WIDTH)
        linear(block + "ffn_up", FEED, WIDTH)
        linear(block + "ffn_down", WIDTH, FEED)
    if kind == "mlp":
        linear("mm.0", WIDTH, WIDTH)
        linear("mm.2", out, WIDTH, spread)
    elif kind == "gemma3":
        made["mm.input_projection.weight"] = rng.normal(0, spread, (WIDTH, out))
        made["mm.soft_emb_norm.weight"] = np.ones(WIDTH)
    elif kind == "idefics3":
        made["mm.model.fc.weight"] = rng.normal(0, spread, (out, WIDTH * merge * merge))
    elif kind == "qwen2vl_merger":
        linear("mm.0", WIDTH * 4, WIDTH * 4)
        linear("mm.2", out, WIDTH * 4, spread)
    return made


def _add(writer: gguf.GGUFWriter, key: str, value: bool | int | float | str | list[float]) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
