"""The node's engines: what is said of those that are not ready, and that they share one digest cache in the home."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import trio

from peernode.engine import ModelLoadFailed
from peernode.node.config import NodeConfig
from peernode.node.own_engines import OwnEngines
from tests.models import write_tiny_model


def engines(home: Path, *models: Path) -> OwnEngines:
    config = NodeConfig.model_validate(
        {"home": home, "models": [str(path) for path in models], "engine": {"context": 256, "threads": 1}}
    )
    return OwnEngines(config, rng=random.Random(1))


def test_a_load_says_how_far_it_is_and_when_it_will_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = engines(tmp_path, tmp_path / "big.gguf")
    kind = type(own.engines[0])
    assert own.loading() == ["big is loading"]
    monkeypatch.setattr(kind, "load_progress", 0.25)
    assert own.loading() == ["big is loading, 25%"]
    monkeypatch.setattr(kind, "load_eta_s", 41.7)
    assert own.loading() == ["big is loading, 25%, about 42 s left"]


@pytest.mark.real
async def test_engines_remember_digests_in_the_home_and_a_bad_file_stops_only_its_own(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    good, bad = write_tiny_model(tmp_path / "good.gguf"), tmp_path / "bad.gguf"
    bad.write_bytes(good.read_bytes()[:1000])
    own = engines(tmp_path, good, bad)
    nursery.start_soon(own.run)
    with trio.fail_after(30):
        await own.engines[0].wait_ready()
        with pytest.raises(ModelLoadFailed, match="damaged"):
            await own.engines[1].wait_ready()
    assert own.loading() == ["bad is failed"]
    assert list(json.loads((tmp_path / "model-digests.json").read_text())["models"]) == [str(good)]
    nursery.cancel_scope.cancel()
