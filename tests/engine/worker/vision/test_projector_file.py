"""What the header check lets through to native code: sound projectors of every kind, and none of those that are known
to end the process there."""

from __future__ import annotations

import pytest

from peernode.engine.errors import ModelLoadFailed
from peernode.engine.worker.vision.projector_file import inspect_projector, projector_bytes
from tests.models import write_tiny_model
from tests.projectors import KINDS, write_tiny_projector

# Found by leaving each out in turn, in a process of its own: without these it dies.
DEADLY = {
    "mlp": ["v.patch_embd.weight", "v.position_embd.weight", "mm.0.weight", "mm.0.bias", "mm.2.weight", "mm.2.bias"],
    "gemma3": ["v.patch_embd.weight"],
    "qwen2vl_merger": ["v.patch_embd.weight"],
    "idefics3": ["v.patch_embd.weight", "clip.vision.projector.scale_factor"],
}
ATTENTION = [f"v.blk.{layer}.attn_{part}.weight" for layer in (0, 1) for part in ("q", "k", "v", "out")]
KEYS = [
    "clip.has_vision_encoder",
    "clip.projector_type",
    *(
        "clip.vision." + name
        for name in (
            "image_size",
            "patch_size",
            "embedding_length",
            "feed_forward_length",
            "block_count",
            "projection_dim",
            "attention.head_count",
            "attention.layer_norm_epsilon",
            "image_mean",
            "image_std",
        )
    ),
]


def cause_of(path) -> str:
    with pytest.raises(ModelLoadFailed) as caught:
        inspect_projector(path)
    assert "projector" in caught.value.sentence
    return caught.value.cause


@pytest.mark.parametrize("kind", [*KINDS, "idefics3"])
def test_sound_projectors_pass(tmp_path, kind):
    path = write_tiny_projector(tmp_path / "mm.gguf", kind)
    header = inspect_projector(path)
    assert header.kind == kind
    assert header.size_bytes == path.stat().st_size


@pytest.mark.parametrize("kind", DEADLY)
def test_whatever_is_missing_is_named(tmp_path, kind):
    for name in [*KEYS, *ATTENTION, *DEADLY[kind]]:
        path = write_tiny_projector(tmp_path / "mm.gguf", kind, without=[name])
        assert name in cause_of(path) or name == "clip.has_vision_encoder"


def test_heads_that_do_not_divide_the_width_are_refused(tmp_path):
    assert "heads" in cause_of(write_tiny_projector(tmp_path / "mm.gguf", heads=7))


def test_a_table_of_positions_that_does_not_cover_the_picture_is_refused(tmp_path):
    path = write_tiny_projector(tmp_path / "mm.gguf")
    data = path.read_bytes()
    key = b"clip.vision.image_size"
    at = data.index(key) + len(key) + 4
    path.write_bytes(data[:at] + (512).to_bytes(4, "little") + data[at + 4 :])
    assert "v.position_embd.weight" in cause_of(path)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path, part):
    path = write_tiny_projector(tmp_path / "mm.gguf")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    assert "damaged" in cause_of(path)


def test_other_files_are_refused(tmp_path):
    assert "does not exist" in cause_of(tmp_path / "nothing.gguf")
    assert "another kind" in cause_of(write_tiny_model(tmp_path / "tiny.gguf"))
    (tmp_path / "text.gguf").write_text("hello, this is no GGUF at all")
    assert "damaged" in cause_of(tmp_path / "text.gguf")
    assert "not supported" in cause_of(write_tiny_projector(tmp_path / "mm.gguf", "hunyuanvl"))


def test_a_projector_s_memory_is_planned_by_its_size(tmp_path):
    path = write_tiny_projector(tmp_path / "mm.gguf")
    assert projector_bytes(path) > path.stat().st_size
    assert projector_bytes(None) == projector_bytes(tmp_path / "nothing.gguf") == 0
