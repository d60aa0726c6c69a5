"""Models for tests: the real one, if this machine has it, and tiny random ones written on the spot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import platformdirs
import pytest

DEMO_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
DEMO_MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


GEMMA_MODEL = "gemma-3-270m-q4_k_m.gguf"


def demo_model() -> Path:
    """The demo model from PEERNODE_TEST_MODEL or the user's cache; skips the test where there is none."""
    return _model("PEERNODE_TEST_MODEL", DEMO_MODEL)


def gemma_model() -> Path:
    """Gemma 3 270M, a base model with a sliding window, from PEERNODE_TEST_GEMMA or the user's cache; or a skip."""
    return _model("PEERNODE_TEST_GEMMA", GEMMA_MODEL)


def _model(variable: str, name: str) -> Path:
    named = os.environ.get(variable)
    path = Path(named) if named else Path(platformdirs.user_cache_dir("peernode")) / "models" / name
    if named and not path.is_file():
        pytest.fail(f"{variable} names a file that is not there")
    if not path.is_file():
        pytest.skip(f"no {name}; set {variable} to its path")
    return path


def _byte_characters() -> list[str]:
    """The printable stand-ins that byte-level vocabularies use, in order of the bytes they stand for."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    stand_ins = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in stand_ins)
    stand_ins.update({byte: chr(256 + at) for at, byte in enumerate(others)})
    return [stand_ins[byte] for byte in range(256)]


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tiny_model(
    path: Path,
    *,
    template: str | None = CHATML,
    context: int = 2048,
    seed: int = 1,
    tensors_per_part: int = 0,
    heads: int = 4,
    sections: Sequence[int] = (),
    more_special: Sequence[str] = (),
    file_type: int = 0,
    layers: int = 2,
) -> Path:
    """A random llama of about 400 KB with one token for each byte: loads in milliseconds, answers nonsense.

    More ``layers`` make it slower in proportion.

    With ``tensors_per_part`` it is split, and what is returned is its first part. With ``sections`` it is a qwen2vl,
    whose positions have so many parts (M-RoPE). Only with two ``heads`` can its values be quantized. ``file_type`` is
    what it says of its quantization, by llama.cpp's number; the tensors are 32-bit floats in any case.
    """
    width, kv_heads, feed = 64, 2, 128
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *more_special]
    tokens = [*special, *_byte_characters()]
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "qwen2vl" if sections else "llama", split_max_tensors=tensors_per_part)
    writer.add_name("tiny")
    writer.add_vocab_size(len(tokens))
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_rope_freq_base(10000.0)
    if sections:
        writer.add_rope_dimension_sections(list(sections))
    writer.add_file_type(file_type)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(special) + [1] * 256)  # 3 is control, 1 is normal
    writer.add_token_merges(["\u0120 t"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)

    def matrix(name: str, *shape: int) -> None:
        writer.add_tensor(name, rng.normal(0, 0.3, shape).astype(np.float32))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(width, np.float32))

    matrix("token_embd.weight", len(tokens), width)
    ones("output_norm.weight")
    matrix("output.weight", len(tokens), width)
    size = width // heads
    for layer in range(layers):
        block = f"blk.{layer}."
        ones(block + "attn_norm.weight")
        ones(block + "ffn_norm.weight")
        matrix(block + "attn_q.weight", heads * size, width)
        matrix(block + "attn_k.weight", kv_heads * size, width)
        matrix(block + "attn_v.weight", kv_heads * size, width)
        matrix(block + "attn_output.weight", width, heads * size)
        if sections:
            for part, rows in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
                writer.add_tensor(f"{block}attn_{part}.bias", np.zeros(rows * size, np.float32))
        matrix(block + "ffn_gate.weight", feed, width)
        matrix(block + "ffn_up.weight", feed, width)
        matrix(block + "ffn_down.weight", width, feed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return min(path.parent.glob(f"{path.stem}-00001-of-*.gguf")) if tensors_per_part else path


def write_tiny_lora(
    path: Path,
    *,
    architecture: str = "llama",
    alpha: float | None = 8.0,
    tensors: dict[str, np.ndarray] | None = None,
    keys: dict[str, str] | None = None,
    seed: int = 1,
) -> Path:
    """A random adapter for the tiny model: two of its matrices, of rank 4. ``tensors`` and ``keys`` replace its own."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in {"general.type": "adapter", "adapter.type": "lora", **(keys or {})}.items():
        writer.add_string(key, value)
    if alpha is not None:
        writer.add_float32("adapter.lora.alpha", alpha)
    if tensors is None:
        tensors = {}
        for target, (rows, width) in {"blk.0.attn_q.weight": (64, 64), "blk.1.ffn_down.weight": (64, 128)}.items():
            tensors[target + ".lora_a"] = rng.normal(0, 1, (4, width)).astype(np.float32)
            tensors[target + ".lora_b"] = rng.normal(0, 1, (rows, 4)).astype(np.float32)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_tiny_embedder(
    path: Path, *, width: int = 32, context: int = 128, pooling: int | None = 1, seed: int = 1
) -> Path:
    """A random bert of some words and letters: one layer, ``width`` wide, pooled by the mean unless told otherwise."""
    feed, heads = 2 * width, 4
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(number) for number in range(33, 127) if not chr(number).isupper()]
    tokens = [*special, *("\u2581" + letter for letter in letters), *letters, "\u2581the", "\u2581cat"]
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("tiny embedder")
    writer.add_vocab_size(len(tokens))
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(feed)
    writer.add_head_count(heads)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    if pooling is not None:
        writer.add_pooling_type(gguf.PoolingType(pooling))
    writer.add_file_type(0)
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(2)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(special) + [1] * (len(tokens) - len(special)))
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)
    writer.add_eos_token_id(3)
    writer.add_mask_token_id(4)

    def random(name: str, *shape: int) -> None:
        writer.add_tensor(name, rng.normal(0, 0.5, shape).astype(np.float32))

    def norm(name: str) -> None:
        writer.add_tensor(name + ".weight", np.ones(width, np.float32))
        writer.add_tensor(name + ".bias", np.zeros(width, np.float32))

    random("token_embd.weight", len(tokens), width)
    random("token_types.weight", 2, width)
    random("position_embd.weight", context, width)
    norm("token_embd_norm")
    for name, rows, columns in (
        ("attn_q", width, width),
        ("attn_k", width, width),
        ("attn_v", width, width),
        ("attn_output", width, width),
        ("ffn_up", feed, width),
        ("ffn_down", width, feed),
    ):
        random(f"blk.0.{name}.weight", rows, columns)
        random(f"blk.0.{name}.bias", rows)
    norm("blk.0.attn_output_norm")
    norm("blk.0.layer_output_norm")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
