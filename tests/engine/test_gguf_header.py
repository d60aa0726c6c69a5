"""The header validator: what it reads from honest files, and that each kind of lie has its sentence."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from peernode.engine import ModelLoadFailed
from peernode.engine.gguf_header import Text, read_header
from peernode.engine.model_parts import inspect_model
from tests.engine.raw_gguf import RawGguf, Tensor, array, i32, string, text, u16, u32
from tests.models import CHATML, demo_model, write_tiny_model

FLOATS = [struct.pack("<f", 0.5)] * 3


def refusal(path: Path) -> str:
    with pytest.raises(ModelLoadFailed) as failure:
        inspect_model(path)
    assert failure.value.code == "model_load_failed"
    assert failure.value.remedy
    return f"{failure.value.sentence} {failure.value.cause}"


def test_the_facts_of_a_tiny_model(tmp_path: Path) -> None:
    model = inspect_model(write_tiny_model(tmp_path / "tiny.gguf"))
    header = model.header
    assert (header.architecture, header.name, header.layers, header.vocabulary) == ("llama", "tiny", 2, 259)
    assert (header.context_length, header.embedding_length, header.file_type) == (2048, 64, 0)
    assert header.parameters * 4 == header.tensor_bytes
    assert header.kv_bytes == 2 * 2 * (16 + 16) * 2  # layers, key-value heads, keys and values of two bytes
    assert header.has_template
    assert not header.is_embedder
    assert model.paths == (tmp_path / "tiny.gguf",)


def test_the_facts_of_the_real_model() -> None:
    header = inspect_model(demo_model()).header
    assert (header.architecture, header.parameters, header.vocabulary) == ("llama", 134_515_008, 49_152)
    assert (header.kv_bytes, header.context_length) == (23_040, 8192)


def test_a_model_without_a_template(tmp_path: Path) -> None:
    assert not inspect_model(write_tiny_model(tmp_path / "bare.gguf", template=None)).header.has_template


def test_strings_are_kept_only_in_part(tmp_path: Path) -> None:
    long = RawGguf().with_values(general__license=text("x" * 100_000))
    assert read_header(long.write(tmp_path / "a.gguf")).values["general.license"] == Text(100_000, "x" * 1024)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (RawGguf(magic=b"GGML"), "does not begin"),
        (RawGguf(version=1), "version is 1"),
        (RawGguf(version=0x03000000), "big-endian"),
        (RawGguf(keys=1 << 63), "keys"),
        (RawGguf(keys=4000), "name of key"),
        (RawGguf(tensor_count=(1 << 64) - 1), "tensors"),
        (RawGguf(tensor_count=30_000), "tensor 1"),
        (RawGguf(cut=33), "its tensors end at byte"),
        (RawGguf(keys=9, more_pairs=string("general.architecture") + struct.pack("<I", 4) + bytes(4)), "twice"),
        (RawGguf(keys=9, more_pairs=string("x") + struct.pack("<I", 13)), "type 13"),
        (RawGguf(keys=9, more_pairs=string("x") + struct.pack("<IB", 7, 2)), "truth value"),
        (RawGguf(keys=9, more_pairs=string("x") + struct.pack("<IIQ", 9, 9, 1)), "array of arrays"),
        (RawGguf(keys=9, more_pairs=string("x") + struct.pack("<IIQ", 9, 4, 1 << 62)), "elements"),
        (RawGguf(keys=9, more_pairs=string("x") + struct.pack("<IIQ", 9, 8, 1 << 20)), "more than the file can hold"),
        (RawGguf(keys=9, more_pairs=string("x") + struct.pack("<IIQ", 9, 42, 1)), "element type 42"),
        (RawGguf(keys=9, more_pairs=string("x") + struct.pack("<IQ", 8, (1 << 64) - 1)), "bytes"),
        (RawGguf(keys=9, more_pairs=string("")), "name of key"),
        (RawGguf(keys=9, more_pairs=string(b"\xff\xfe")), "not text"),
        (RawGguf(keys=9, more_pairs=string("a\0b")), "unprintable"),
        (RawGguf(keys=9, more_pairs=string("k" * 600)), "name of key"),
        (RawGguf().with_values(general__alignment=u32(24)), "alignment"),
        (RawGguf().with_values(general__alignment=u32(0)), "alignment"),
        (RawGguf().with_values(general__alignment=text("32")), "alignment"),
        (RawGguf().with_values(tokenizer__chat_template=text("x" * (1 << 20) + "y")), "chat_template"),
    ],
)
def test_a_header_that_cannot_be_right(raw: RawGguf, said: str, tmp_path: Path) -> None:
    assert said in refusal(raw.write(tmp_path / "bad.gguf"))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ([Tensor(offset=32)], "gap"),
        ([Tensor(), Tensor("u", offset=0)], "overlaps"),
        ([Tensor(), Tensor()], "twice"),
        ([Tensor(shape=())], "dimensions"),
        ([Tensor(shape=(1, 1, 1, 1, 1))], "dimensions"),
        ([Tensor(shape=(0, 8))], "empty"),
        ([Tensor(shape=(1 << 62, 1 << 62))], "claims"),
        ([Tensor(shape=((1 << 64) - 8,))], "claims"),
        ([Tensor(shape=(1 << 40,))], "more than the file"),
        ([Tensor(kind=4)], "unknown type"),
        ([Tensor(kind=12, shape=(32,))], "no multiple of 256"),
        ([Tensor(name="n" * 64)], "name of tensor"),
        ([], "no tensors"),
    ],
)
def test_tensors_that_cannot_be_right(tensors: list[Tensor], said: str, tmp_path: Path) -> None:
    assert said in refusal(RawGguf(tensors=tensors).write(tmp_path / "bad.gguf"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"general__architecture": u32(1)}, "general.architecture"),
        ({"general__architecture": text("bad\0name")}, "general.architecture"),
        ({"llama__block_count": u32(0)}, "block_count is 0"),
        ({"llama__block_count": u32(100_000)}, "block_count"),
        ({"llama__block_count": text("2")}, "block_count"),
        ({"llama__context_length": u32(0)}, "context_length"),
        ({"llama__embedding_length": u32(1 << 31)}, "embedding_length"),
        ({"llama__attention__head_count_kv": i32(-1)}, "head_count_kv"),
        ({"llama__attention__head_count_kv": array(4, [bytes(4)] * 3)}, "each of 2 layers"),
        ({"tokenizer__ggml__tokens": u32(3)}, "tokens"),
        ({"tokenizer__ggml__tokens": array(8, [])}, "tokens"),
        ({"tokenizer__ggml__scores": array(6, FLOATS[:2])}, "2 entries for 3 tokens"),
        ({"tokenizer__ggml__token_type": array(0, [b"\1"] * 3)}, "wrong type"),
        ({"general__type": text("adapter")}, "LoRA adapter"),
        ({"general__type": text("mmproj")}, "projector"),
        ({"general__architecture": text("clip")}, "projector"),
        ({"general__type": text("imatrix")}, "importance matrix"),
    ],
)
def test_what_is_no_model_to_chat_with(changed: dict, said: str, tmp_path: Path) -> None:
    assert said in refusal(RawGguf().with_values(**changed).write(tmp_path / "bad.gguf"))


def test_too_many_strings_in_all_arrays_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peernode.engine.gguf_types.MAX_STRINGS", 5)
    two = RawGguf().with_values(tokenizer__ggml__merges=array(8, [string("a b")] * 3))
    assert "more than 5 strings" in refusal(two.write(tmp_path / "bad.gguf"))


def test_layers_may_differ_in_heads(tmp_path: Path) -> None:
    heads = array(4, [struct.pack("<I", 2), struct.pack("<I", 0)])
    path = RawGguf().with_values(llama__attention__head_count_kv=heads).write(tmp_path / "hybrid.gguf")
    assert inspect_model(path).header.kv_bytes == 2 * (16 + 16) * 2


def test_what_is_no_file_at_all(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    assert "not a file" in refusal(tmp_path / "pipe.gguf")
    assert "not a file" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "missing.gguf")
    (tmp_path / "empty.gguf").touch()
    assert "does not begin" in refusal(tmp_path / "empty.gguf")


def split(tmp_path: Path, count: int = 3) -> list[Path]:
    """A model of ``count`` parts with one tensor each."""
    paths = []
    for number in range(count):
        raw = RawGguf(tensors=[Tensor(name=f"t{number}")], values={} if number else RawGguf().values)
        raw.with_values(split__no=u16(number), split__count=u16(count), split__tensors__count=i32(count))
        paths.append(raw.write(tmp_path / f"m-{number + 1:05}-of-{count:05}.gguf"))
    return paths


def test_a_split_model_is_its_parts(tmp_path: Path) -> None:
    paths = split(tmp_path)
    model = inspect_model(paths[0])
    assert model.paths == tuple(paths)
    assert (model.header.parts, model.header.parameters, model.header.tensor_bytes) == (3, 24, 96)


def test_split_models_that_cannot_be_whole(tmp_path: Path) -> None:
    paths = split(tmp_path)
    assert "not the first part" in refusal(paths[1])
    second = paths[1].read_bytes()
    paths[1].unlink()
    assert "missing" in refusal(paths[0])
    paths[1].write_bytes(paths[2].read_bytes())
    assert "part 2 of 3" in refusal(paths[0])
    paths[1].write_bytes(second[:-1])
    assert "end at byte" in refusal(paths[0])
    renamed = tmp_path / "whole.gguf"
    renamed.write_bytes(paths[0].read_bytes())
    assert "name says 1" in refusal(renamed)


def test_parts_that_share_a_tensor_or_lack_one(tmp_path: Path) -> None:
    paths = split(tmp_path, 2)
    raw = RawGguf(tensors=[Tensor(name="t0")], values={})
    raw.with_values(split__no=u16(1), split__count=u16(2)).write(paths[1])
    assert "in two parts" in refusal(paths[0])
    raw = RawGguf(tensors=[], values={})
    raw.with_values(split__no=u16(1), split__count=u16(2)).write(paths[1])
    assert "hold 1 tensors, but it says 2" in refusal(paths[0])


def test_a_template_that_is_long_but_sane_passes(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "long.gguf", template=CHATML + "{# " + "x" * 200_000 + " #}")
    assert inspect_model(path).header.has_template
