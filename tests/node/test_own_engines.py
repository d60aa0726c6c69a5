"""The node's engines: what is said of those that are not ready, and that they share one digest cache in the home."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from peernode.engine import LoraAdapter, ModelLoadFailed
from peernode.node.config import EngineConfig, NodeConfig
from peernode.node.engine_choice import engine_settings
from peernode.node.model_entry import ModelEntry
from peernode.node.own_engines import OwnEngines
from peernode.wire.advert import LOADABLE
from tests.engine.asking import job
from tests.models import write_tiny_model


def engines(home: Path, *models: Path) -> OwnEngines:
    config = NodeConfig.model_validate(
        {"home": home, "models": [str(path) for path in models], "engine": {"context": 256, "threads": 1}}
    )
    return OwnEngines(config, rng=random.Random(1))


def test_a_load_says_how_far_it_is_and_when_it_will_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = engines(tmp_path, tmp_path / "big.gguf")
    kind = type(own.engines[0])
    assert own.missing() == ["big is loading"]
    monkeypatch.setattr(kind, "load_progress", 0.25)
    assert own.missing() == ["big is loading, 25%"]
    monkeypatch.setattr(kind, "load_eta_s", 41.7)
    assert own.missing() == ["big is loading, 25%, about 42 s left"]


def test_a_models_own_settings_win_over_the_nodes() -> None:
    node = EngineConfig(slots=4, kv_type="q8_0", load="lazy", idle_timeout_s=60, gpu_layers=7, itl_target_ms=90)
    entry = ModelEntry.model_validate(
        {
            "path": "m.gguf",
            "slots": 2,
            "load": "eager",
            "gpu_layers": 0,
            "idle_timeout_s": 0,
            "share_prefixes": True,
            "lora": [{"path": "a.gguf", "scale": 0.5}],
            "projector": "p.gguf",
            "embeddings": True,
            "pooling": "last",
        }
    )
    own = engine_settings(node, entry)
    assert (own.slots, own.lazy, own.gpu_layers, own.idle_timeout_s, own.share_prefixes) == (2, False, 0, None, True)
    assert (own.kv_type, own.itl_target_ms) == ("q8_0", 90)
    assert own.lora == (LoraAdapter(Path("a.gguf"), 0.5),)
    assert (own.projector, own.embeddings, own.pooling) == (Path("p.gguf"), True, "last")
    other = engine_settings(node, ModelEntry.model_validate({"path": "n.gguf"}))
    assert (other.slots, other.lazy, other.gpu_layers, other.idle_timeout_s) == (4, True, 7, 60)


@pytest.mark.real
async def test_a_lazy_model_is_not_missing_while_it_is_not_loaded(tmp_path: Path, nursery: trio.Nursery) -> None:
    config = NodeConfig.model_validate(
        {
            "home": tmp_path,
            "models": [str(write_tiny_model(tmp_path / "tiny.gguf"))],
            "engine": {"context": 256, "threads": 1, "load": "lazy"},
        }
    )
    own = OwnEngines(config, rng=random.Random(1))
    assert own.missing() == ["tiny is loading"]
    assert own.models[0].card is None
    nursery.start_soon(own.run)
    with trio.fail_after(30):
        while own.missing():
            await own.changed()
    engine = own.engines[0]
    assert engine.state == "unloaded"
    card = own.models[0].card
    assert card is not None
    assert (card.architecture, card.quantization, card.context_length) == ("llama", "F32", 256)
    with trio.fail_after(30):
        async with engine.open(job("Hello")) as stream:
            await own.changed()
            assert own.loading() == ["tiny is loading, 1 waiting"]
            async for _ in stream:
                pass
    assert own.loading() == []
    loaded = own.models[0].card
    assert loaded is not None
    assert LOADABLE in card.features
    assert replace(loaded, decode_tps=0, prefill_tps=0, features=(*loaded.features, LOADABLE)) == card
    nursery.cancel_scope.cancel()


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
    assert own.missing() == ["bad is failed"]
    assert list(json.loads((tmp_path / "model-digests.json").read_text())["models"]) == [str(good)]
    nursery.cancel_scope.cancel()
