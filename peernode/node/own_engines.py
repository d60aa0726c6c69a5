"""This node's engines: one per configured model, run side by side, and the news of any of them."""

from __future__ import annotations

import random
from collections.abc import Sequence

import trio

from peernode.engine import DigestCache, Engine, EngineSettings
from peernode.market.models import OwnModel
from peernode.node.config import NodeConfig
from peernode.node.home import Home
from peernode.node.model_entry import ModelEntry


class OwnEngines:
    """Builds engines from the configuration. ``changed`` awaits the next change of state or load of any."""

    def __init__(self, config: NodeConfig, *, rng: random.Random) -> None:
        digests = DigestCache(Home(config.home).digest_file)
        self.engines = [
            Engine(entry.name, entry.path, _settings(config, entry), digests=digests, rng=rng)
            for entry in config.models
        ]
        self.models = [
            OwnModel(engine, config.prices_for(entry))
            for engine, entry in zip(self.engines, config.models, strict=True)
        ]
        self._news = trio.Event()

    async def run(self) -> None:
        """Run all engines until cancelled. Raises ModelLoadFailed when not one of them can be loaded."""
        async with trio.open_nursery() as nursery:
            for engine in self.engines:
                nursery.start_soon(engine.run)
                nursery.start_soon(self._watch, engine)

    async def changed(self) -> None:
        """Return at the next change."""
        await self._news.wait()

    def loading(self) -> Sequence[str]:
        """What to tell somebody who wonders why a model is not there yet."""
        return [_describe(engine) for engine in self.engines if engine.state != "ready"]

    async def _watch(self, engine: Engine) -> None:
        seen = engine.version
        while True:
            seen = await engine.wait_change(seen)
            news, self._news = self._news, trio.Event()
            news.set()
            failures = [engine.failure for engine in self.engines]
            if all(failures) and failures[0] is not None:
                raise failures[0]


def _describe(engine: Engine) -> str:
    said = [f"{engine.model_id} is {engine.state}"]
    if engine.load_progress is not None:
        said.append(f"{engine.load_progress:.0%}")
    if engine.load_eta_s is not None:
        said.append(f"about {engine.load_eta_s:.0f} s left")
    return ", ".join(said)


def _settings(config: NodeConfig, entry: ModelEntry) -> EngineSettings:
    chosen = config.engine
    defaults = EngineSettings()
    return EngineSettings(
        slots=entry.slots or chosen.slots,
        context=entry.context or chosen.context or defaults.context,
        kv_tokens=chosen.kv_tokens,
        batch_tokens=chosen.batch_tokens,
        threads=chosen.threads,
        gpu_layers=chosen.gpu_layers,
        queue_limit=chosen.queue_limit,
        default_max_tokens=chosen.default_max_tokens,
    )
