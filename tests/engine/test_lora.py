"""LoRA adapters: they change what the model says and what it is; files that do not fit end in a sentence."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peernode.engine import DigestCache, Engine, LoraAdapter, ModelLoadFailed
from peernode.engine.lora import adapted_digest
from peernode.engine.model_file import ModelFile
from tests.engine.asking import ask, job
from tests.models import write_tiny_lora, write_tiny_model

Start = Callable[..., Awaitable[Engine]]
Q = "blk.0.attn_q.weight"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf")


@pytest.mark.real
async def test_an_adapter_changes_what_the_model_says_as_far_as_its_scale(
    ready_engine: Start, tiny: Path, tmp_path: Path
) -> None:
    adapter = write_tiny_lora(tmp_path / "adapter.gguf")

    async def said(*adapters: LoraAdapter) -> list[int]:
        engine = await ready_engine(tiny, threads=1, lora=adapters)
        return (await ask(engine, job("Hello", max_tokens=24))).ids

    base = await said()
    full = await said(LoraAdapter(adapter))
    assert full != base
    assert await said(LoraAdapter(adapter, 0.0)) == base
    assert await said(LoraAdapter(adapter), LoraAdapter(adapter, -1.0)) == base  # they cancel out
    assert await said(LoraAdapter(adapter)) == full


@pytest.mark.real
async def test_an_adapted_model_is_another_model(ready_engine: Start, tiny: Path, tmp_path: Path) -> None:
    adapter = write_tiny_lora(tmp_path / "adapter.gguf")
    engine = await ready_engine(tiny, threads=1, lora=(LoraAdapter(adapter, 0.5),))
    base, applied = (hashlib.sha256(path.read_bytes()).digest() for path in (tiny, adapter))
    wanted = hashlib.sha256(b"peernode/adapted-model/1\0" + base + applied + struct.pack("<d", 0.5)).digest()
    assert engine.facts is not None
    assert engine.facts.digest == wanted
    assert engine.facts.size_bytes == tiny.stat().st_size + adapter.stat().st_size


def test_no_adapter_leaves_the_digest_and_order_and_scale_count() -> None:
    base, a, b = b"m" * 32, b"a" * 32, b"b" * 32
    assert adapted_digest(base, []) == base
    found = {
        adapted_digest(base, chosen)
        for chosen in ([(a, 1.0)], [(a, 0.5)], [(b, 1.0)], [(a, 1.0), (b, 1.0)], [(b, 1.0), (a, 1.0)])
    }
    assert len(found | {base}) == 6


async def test_only_the_adapter_that_changed_is_hashed_again(tiny: Path, tmp_path: Path) -> None:
    adapter, cache = write_tiny_lora(tmp_path / "adapter.gguf"), DigestCache(tmp_path / "cache.json")

    async def digest() -> tuple[bytes, list[float]]:
        file, progress = ModelFile(tiny, cache, adapters=[LoraAdapter(adapter)]), []
        await file.inspect()
        return (await file.digest(progress.append))[0], progress

    first, progress = await digest()
    assert progress[0] == 0.0
    assert progress[-1] == 1.0
    assert await digest() == (first, [])
    write_tiny_lora(adapter, seed=2)
    second, progress = await digest()
    assert second != first
    assert progress[0] > 0.5  # the model's own part was known


def factors(a: tuple[int, int], b: tuple[int, int], target: str = Q, kind: Any = np.float32) -> dict[str, np.ndarray]:
    return {target + ".lora_a": np.ones(a, kind), target + ".lora_b": np.ones(b, kind)}


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"keys": {"general.type": "model"}}, "does not say that it is a LoRA adapter"),
        ({"keys": {"adapter.type": "control_vector"}}, "does not say"),
        ({"architecture": "gemma3"}, "for gemma3 models, this one is llama"),
        ({"alpha": None}, "alpha is missing"),
        ({"alpha": float("nan")}, "alpha is missing or no number"),
        ({"tensors": factors((4, 64), (65, 4))}, "do not make up"),
        ({"tensors": factors((4, 32), (64, 4))}, "do not make up"),
        ({"tensors": factors((4, 64), (64, 8))}, "do not make up"),
        ({"tensors": factors((4, 64), (64, 4), "blk.7.attn_q.weight")}, "no tensor"),
        ({"tensors": factors((4, 64), (64, 4), kind=np.int32)}, "not of the types"),
        ({"tensors": {Q + ".lora_a": np.ones((4, 64), np.float32)}}, "one factor"),
        ({"tensors": {Q: np.ones((64, 64), np.float32)}}, "no factor of a LoRA"),
        ({"tensors": {Q + ".lora_a": np.ones(64, np.float32), Q + ".lora_b": np.ones(64, np.float32)}}, "do not make"),
        ({"tensors": {}}, "no tensors"),
    ],
)
async def test_an_adapter_that_does_not_fit_is_refused(
    tiny: Path, tmp_path: Path, changes: dict[str, Any], cause: str
) -> None:
    adapter = write_tiny_lora(tmp_path / "adapter.gguf", **changes)
    with pytest.raises(ModelLoadFailed) as refused:
        await ModelFile(tiny, adapters=[LoraAdapter(adapter)]).inspect()
    assert cause in refused.value.cause
    assert "adapter.gguf" in refused.value.cause


@pytest.mark.parametrize("damage", [b"", b"GGUF", b"GGUF" + bytes(500), None])
async def test_a_damaged_adapter_is_named(tiny: Path, tmp_path: Path, damage: bytes | None) -> None:
    adapter = write_tiny_lora(tmp_path / "adapter.gguf")
    adapter.write_bytes(adapter.read_bytes()[:-64] if damage is None else damage)
    with pytest.raises(ModelLoadFailed, match="adapter") as refused:
        await ModelFile(tiny, adapters=[LoraAdapter(adapter)]).inspect()
    assert "adapter.gguf" in refused.value.cause


async def test_a_missing_adapter_is_named(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed) as refused:
        await ModelFile(tiny, adapters=[LoraAdapter(tmp_path / "gone.gguf")]).inspect()
    assert "gone.gguf" in refused.value.cause


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 101.0, -101.0])
def test_a_senseless_scale_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        LoraAdapter(Path("a.gguf"), scale)
