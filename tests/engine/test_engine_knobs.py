"""Each knob of an engine reaches the worker and does what its name says, on a real worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import llama_cpp
import pytest

from peernode.engine import Engine, EngineSettings
from peernode.engine.protocol import Load, command_from, to_frame
from peernode.engine.quantization import quantization_name
from peernode.engine.worker.choices import chosen
from tests.engine.asking import ask, job
from tests.models import demo_model

Start = Callable[..., Awaitable[Engine]]


def order(**changes: object) -> Load:
    return EngineSettings(**changes).load_order(Path("m.gguf"))


def test_an_order_survives_its_frame() -> None:
    sent = order(jump_ahead=False, speculation="off", embeddings=True, pooling="last", itl_target_ms=90)
    assert command_from(to_frame(sent)) == sent


def test_what_is_left_open_is_chosen_from_the_machine() -> None:
    on_cpu = chosen(order(), offloads=False)
    assert on_cpu.threads >= 1
    assert (on_cpu.batch_tokens, on_cpu.ubatch_tokens) == (512, 60)
    on_gpu = chosen(order(), offloads=True)
    assert (on_gpu.batch_tokens, on_gpu.ubatch_tokens) == (2048, 512)
    assert chosen(order(slots=600, batch_tokens=None), offloads=False).batch_tokens == 600


def test_what_is_named_is_kept() -> None:
    named = chosen(order(threads=3, batch_tokens=256, ubatch_tokens=128), offloads=True)
    assert (named.threads, named.batch_tokens, named.ubatch_tokens) == (3, 256, 128)
    assert chosen(order(batch_tokens=32, slots=4), offloads=False).ubatch_tokens == 32


@pytest.mark.parametrize(
    "changes", [{"slots": 0}, {"kv_type": "q9"}, {"batch_tokens": 4}, {"itl_target_ms": 0}, {"threads": 0}]
)
def test_senseless_settings_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        EngineSettings(**changes)


def test_quantizations_are_called_what_llama_cpp_calls_them() -> None:
    prefixes = ("LLAMA_FTYPE_MOSTLY_", "LLAMA_FTYPE_ALL_")
    names = {
        value: name.removeprefix(prefix)
        for name, value in vars(llama_cpp).items()
        for prefix in prefixes
        if name.startswith(prefix)
    }
    assert {number: quantization_name(number) for number in names} == names
    assert quantization_name(None) == quantization_name(9999) == "unknown"


@pytest.mark.real
@pytest.mark.parametrize("kv_type", ["auto", "f16", "q8_0", "q4_0"])
async def test_every_kv_type_answers(ready_engine: Start, kv_type: str) -> None:
    engine = await ready_engine(demo_model(), slots=2, kv_type=kv_type)
    answer = await ask(engine, job("Name the capital city of France.", max_tokens=16))
    assert "Paris" in answer.text


@pytest.mark.real
async def test_wide_kernels_and_other_batches_answer_the_same(ready_engine: Start) -> None:
    engine = await ready_engine(demo_model(), slots=2, batch_tokens=128, ubatch_tokens=128, threads=1)
    assert "Paris" in (await ask(engine, job("Name the capital city of France.", max_tokens=16))).text
