"""Hostile model files through a real engine: each ends in a typed refusal or in an engine that answers, and the
process that runs the engines lives on."""

from __future__ import annotations

import random
import struct
from collections import Counter
from pathlib import Path

import pytest
import trio

from peernode.engine import Engine, EngineSettings, ModelLoadFailed
from peernode.engine.model_parts import inspect_model
from tests.engine.asking import ask, job
from tests.models import write_tiny_model

pytestmark = pytest.mark.real

FILES = 60
TEMPLATES = [
    "{% for i in range(10 ** 9) %}x{% endfor %}",
    "{{ 'x' * 10 ** 11 }}",
    "{{ 10 ** 10 ** 10 }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.system('kill -9 %d') }}",
    "{{ messages.append(messages) }}{{ messages }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% include '/etc/passwd' %}",
    "{% for m in messages %}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "-" * 20_000 + "1 }}",
    "{{ 'a' | center(10 ** 10) }}",
    "{{ '%0999999999d' % 1 }}",
    "{{ '{:>9999999999}'.format(1) }}",
    "{{ raise_exception('no') }}",
    "{% set x = namespace(v='x') %}{% for i in range(60) %}{% set x.v = x.v + x.v %}{% endfor %}{{ x.v }}",
]
AT_ONCE = 3
HUGE = [0, 1, 255, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]


def passes(path: Path) -> bool:
    try:
        inspect_model(path)
    except ModelLoadFailed:
        return False
    return True


def hostile_files(directory: Path) -> list[Path]:
    """Half of them get past the validator, so that the worker must deal with them."""
    valid = write_tiny_model(directory / "tiny.gguf").read_bytes()
    header = valid.rindex(b"ffn_down.weight") + 64
    values = valid.index(b"tokenizer.ggml.tokens")
    rng = random.Random(20)
    found: dict[bool, list[Path]] = {True: [], False: []}
    while min(map(len, found.values())) < FILES // 2:
        data = bytearray(valid)
        for _ in range(rng.randint(1, 3)):
            # Numbers among the hyperparameters are where native code divides, multiplies and allocates.
            at = rng.randrange(values) if rng.random() < 0.5 else rng.randrange(header)
            if rng.random() < 0.5:
                data[at] ^= rng.randint(1, 255)
            else:
                data[at : at + 4] = struct.pack("<I", rng.choice(HUGE))
        if rng.random() < 0.1:
            del data[rng.randrange(len(data)) :]
        path = directory / f"hostile-{sum(map(len, found.values()))}.gguf"
        path.write_bytes(data)
        group = found[passes(path)]
        if len(group) < FILES // 2:
            group.append(path)
    return found[True] + found[False]


def hyperparameter(name: str, value: int, directory: Path) -> Path:
    """The tiny model with one of its numbers replaced."""
    data = bytearray(write_tiny_model(directory / "tiny.gguf").read_bytes())
    at = data.index(name.encode()) + len(name) + 4
    data[at : at + 4] = struct.pack("<I", value)
    path = directory / f"{name}-{value}.gguf"
    path.write_bytes(data)
    return path


async def outcome(path: Path) -> str:
    engine = Engine(path.stem, path, EngineSettings(context=256, slots=2, threads=1))
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        try:
            with trio.fail_after(60):
                await engine.wait_ready()
                reply = await ask(engine, job("Hello", max_tokens=3))
            result = f"ready, then {type(reply.events[-1]).__name__}"
        except ModelLoadFailed as err:
            assert err.sentence
            assert engine.state == "failed"
            result = err.sentence
        nursery.cancel_scope.cancel()
    return result


async def outcomes(paths: list[Path]) -> Counter[str]:
    found: Counter[str] = Counter()
    limit = trio.CapacityLimiter(AT_ONCE)

    async def one(path: Path) -> None:
        async with limit:
            found[await outcome(path)] += 1

    async with trio.open_nursery() as nursery:
        for path in paths:
            nursery.start_soon(one, path)
    return found


async def test_no_hostile_file_gets_further_than_its_worker(tmp_path: Path) -> None:
    paths = hostile_files(tmp_path)
    found = await outcomes(paths)
    assert sum(found.values()) == len(paths) == FILES, found
    assert any(result.startswith("ready") for result in found)
    assert any("damaged" in result for result in found)


async def test_no_hostile_hyperparameter_gets_further_than_its_worker(tmp_path: Path) -> None:
    names = ["head_count_kv", "head_count", "embedding_length", "block_count", "dimension_count", "eos_token_id"]
    paths = [hyperparameter(name, value, tmp_path) for name in names for value in (0, 3, 512, (1 << 32) - 1)]
    found = await outcomes(paths)
    assert sum(found.values()) == len(paths), found


async def test_no_hostile_template_gets_further_than_its_worker(tmp_path: Path) -> None:
    paths = [
        write_tiny_model(tmp_path / f"template-{number}.gguf", template=template)
        for number, template in enumerate(TEMPLATES)
    ]
    found = await outcomes(paths)
    assert sum(found.values()) == len(paths), found
    assert found["The model's chat template is refused."] >= len(paths) - 3, found
