"""Hostile projector files through real engines, each in a worker process of its own: a typed refusal or an engine that
answers, and the process that runs the engines lives on."""

from __future__ import annotations

import random
import struct
from collections import Counter
from pathlib import Path

import pytest
import trio

from peernode.chat.events import Failed
from peernode.engine import Engine, EngineSettings, ModelLoadFailed
from peernode.engine.worker.vision.projector_file import inspect_projector
from tests.engine.asking import ask
from tests.engine.worker.vision.images import RED, looking
from tests.models import write_tiny_model
from tests.projectors import KINDS, write_seeing_model, write_tiny_projector

pytestmark = pytest.mark.real

AT_ONCE = 3
PASSING, REFUSED = 16, 4
HUGE = [0, 1, 3, 255, 1 << 20, (1 << 31) - 1, (1 << 32) - 1]


async def outcome(model: Path, projector: Path) -> str:
    engine = Engine(projector.stem, model, EngineSettings(context=256, slots=2, threads=1, projector=projector))
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        try:
            with trio.fail_after(60):
                await engine.wait_ready()
                reply = await ask(engine, looking(RED, max_tokens=3))
            last = reply.events[-1]
            result = f"ready, then {last.error.code if isinstance(last, Failed) else type(last).__name__}"
        except ModelLoadFailed as err:
            assert engine.state == "failed"
            result = err.sentence
        nursery.cancel_scope.cancel()
    return result


async def outcomes(pairs: list[tuple[Path, Path]]) -> Counter[str]:
    found: Counter[str] = Counter()
    limit = trio.CapacityLimiter(AT_ONCE)

    async def one(model: Path, projector: Path) -> None:
        async with limit:
            found[await outcome(model, projector)] += 1

    async with trio.open_nursery() as nursery:
        for model, projector in pairs:
            nursery.start_soon(one, model, projector)
    return found


def passes(path: Path) -> bool:
    try:
        inspect_projector(path)
    except ModelLoadFailed:
        return False
    return True


def mutations(directory: Path, kind: str, rng: random.Random) -> list[Path]:
    """Files of which most get past the header's check, so that native code must deal with them."""
    valid = write_tiny_projector(directory / "valid.gguf", kind).read_bytes()
    header = valid.rindex(b".weight") + 48
    wanted = {True: PASSING // len(KINDS), False: REFUSED // len(KINDS)}
    found: list[Path] = []
    while any(wanted.values()):
        data = bytearray(valid)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(header) if rng.random() < 0.8 else rng.randrange(len(data) - 4)
            if rng.random() < 0.5:
                data[at] ^= rng.randint(1, 255)
            else:
                data[at : at + 4] = struct.pack("<I", rng.choice(HUGE))
        path = directory / f"{kind}-{len(found)}-{sum(wanted.values())}.gguf"
        path.write_bytes(data)
        kept = passes(path)
        if wanted[kept]:
            wanted[kept] -= 1
            found.append(path)
    return found


async def test_no_mutated_projector_gets_further_than_its_worker(tmp_path):
    rng = random.Random(21)
    pairs = []
    for kind in KINDS:
        model, _ = write_seeing_model(tmp_path, kind)
        pairs += [(model, projector) for projector in mutations(tmp_path, kind, rng)]
    found = await outcomes(pairs)
    assert sum(found.values()) == len(pairs), found
    assert any(result.startswith("ready") for result in found), found
    assert any("projector" in result for result in found), found
    # What ends the process does so when the model is loaded, not on somebody's image.
    assert not any("crashed" in result for result in found), found


async def test_projectors_that_do_not_belong_to_the_model_are_refused(tmp_path):
    model = write_tiny_model(tmp_path / "tiny.gguf")
    projectors = [
        write_tiny_projector(tmp_path / "wide.gguf", out=128),
        write_tiny_projector(tmp_path / "markers.gguf", "idefics3"),
        write_tiny_projector(tmp_path / "endless.gguf", spread=float("inf")),
        write_tiny_projector(tmp_path / "attention.gguf", without=["v.blk.0.attn_q.weight"]),
        write_tiny_projector(tmp_path / "patches.gguf", "qwen2vl_merger", without=["v.patch_embd.weight.1"]),
        tmp_path / "nothing.gguf",
        model,
    ]
    found = await outcomes([(model, projector) for projector in projectors])
    assert sum(found.values()) == len(projectors)
    assert not any(result.startswith("ready") for result in found), found
    assert found["The image projector cannot be used."] >= 3, found
