"""What context a model gets: as asked where it fits, less with a reason where it does not, none where nothing does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from peernode.engine import ModelLoadFailed
from peernode.engine.gguf_model import ModelHeader
from peernode.engine.memory_plan import MemoryPlan, plan_memory, wanted_bytes
from peernode.engine.model_parts import inspect_model
from tests.models import write_tiny_model

GIB = 1 << 30


@pytest.fixture
def big(tmp_path: Path) -> ModelHeader:
    """8 GiB of weights and 128 KiB for each token of context, like an 8 B model's."""
    tiny = inspect_model(write_tiny_model(tmp_path / "tiny.gguf")).header
    return replace(tiny, tensor_bytes=8 * GIB, kv_bytes=1 << 17, context_length=32_768)


def plan(
    header: ModelHeader, available: float | None, *, context: int = 4096, kv_tokens: int | None = None
) -> MemoryPlan:
    size = None if available is None else int(available * GIB)
    return plan_memory(header, context=context, slots=8, kv_tokens=kv_tokens, available=size)


def test_what_fits_is_given(big: ModelHeader) -> None:
    assert plan(big, 24) == MemoryPlan(8192, 4096)
    assert plan(big, 24, context=65_536) == MemoryPlan(32_768, 32_768)
    assert plan(big, 24, kv_tokens=2048) == MemoryPlan(2048, 2048)


def test_where_nobody_knows_the_memory_what_was_asked_for_is_given(big: ModelHeader) -> None:
    assert plan(big, None, context=65_536) == MemoryPlan(32_768, 32_768)


def test_the_cache_shrinks_before_one_sequences_context_does(big: ModelHeader) -> None:
    some = plan(big, 8.25 + 0.75)
    assert (some.kv_tokens, some.context) == (6144, 4096)
    less = plan(big, 8.25 + 0.25)
    assert (less.kv_tokens, less.context) == (2048, 2048)
    assert "reduced to 2048" in less.notes[0]


def test_the_operator_overrides_the_estimate_and_is_told(big: ModelHeader) -> None:
    risky = plan(big, 9, kv_tokens=10_000)
    assert (risky.kv_tokens, risky.context) == (10_000, 4096)
    assert "too large" in risky.notes[0]
    with pytest.raises(ModelLoadFailed, match="Lower kv_tokens"):
        plan(big, 9, kv_tokens=100_000)


def test_a_model_without_a_cache_needs_none(big: ModelHeader) -> None:
    assert plan(replace(big, kv_bytes=0), 8.5) == MemoryPlan(8192, 4096)


def test_a_model_that_cannot_fit_is_refused(big: ModelHeader) -> None:
    with pytest.raises(ModelLoadFailed, match="does not fit"):
        plan(big, 8)
    with pytest.raises(ModelLoadFailed, match="no memory for the model's context") as failure:
        plan(big, 8.26)
    assert "GiB" in failure.value.cause


def test_quantized_keys_and_values_leave_room_for_more(big: ModelHeader) -> None:
    def cells(kv_type: str) -> int:
        return plan_memory(big, context=65_536, slots=8, kv_tokens=None, available=9 * GIB, kv_type=kv_type).kv_tokens

    assert cells("auto") == cells("f16") == 6144
    assert cells("q8_0") == 11_520
    assert cells("q4_0") == 21_760


def test_what_is_wanted_is_what_then_fits(big: ModelHeader) -> None:
    wanted = wanted_bytes(big, context=4096, slots=8, kv_tokens=None, kv_type="q8_0", beside=GIB)
    exactly = plan_memory(big, context=4096, slots=8, kv_tokens=None, available=wanted, kv_type="q8_0", beside=GIB)
    assert exactly == MemoryPlan(8192, 4096)
    short = plan_memory(big, context=4096, slots=8, kv_tokens=None, available=wanted - 1, kv_type="q8_0", beside=GIB)
    assert short.kv_tokens < 8192
