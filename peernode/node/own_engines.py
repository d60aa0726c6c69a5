"""This node's engines: one per configured model, run side by side, and the news of any of them."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import trio

from peernode.engine import DigestCache, Engine, LoadTimes, MemoryBudget
from peernode.market.models import OwnModel
from peernode.node.config import NodeConfig
from peernode.node.engine_choice import engine_settings
from peernode.node.home import Home


class OwnEngines:
    """Builds engines from the configuration. ``changed`` awaits the next change of state or load of any."""

    def __init__(self, config: NodeConfig, *, rng: random.Random) -> None:
        home = Home(config.home)
        digests, load_times = DigestCache(home.digest_file), LoadTimes(home.load_times_file)
        limit = config.engine.memory_mib
        budget = MemoryBudget(limit=None if limit is None else limit << 20)
        self.engines = [
            Engine(
                entry.name,
                entry.path,
                engine_settings(config.engine, entry),
                budget=budget,
                digests=digests,
                load_times=load_times,
                rng=rng,
            )
            for entry in config.models
        ]
        self.models = [
            OwnModel(
                engine,
                config.prices_for(entry),
                config.promises_for(entry),
                frozenset(entry.withhold),
                config.auto_price_for(entry, time.monotonic),
            )
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

    def missing(self) -> Sequence[str]:
        """What to tell somebody who wonders why a model is not there yet; a lazy one is there when it takes jobs."""
        return [describe(engine) for engine in self.engines if not engine.takes_jobs]

    def loading(self) -> Sequence[str]:
        """Lazy models that load just now, with how far they are."""
        return [describe(engine) for engine in self.engines if engine.takes_jobs and engine.state == "loading"]

    async def _watch(self, engine: Engine) -> None:
        seen = engine.version
        while True:
            seen = await engine.wait_change(seen)
            news, self._news = self._news, trio.Event()
            news.set()
            failures = [engine.failure for engine in self.engines]
            if all(failures) and failures[0] is not None:
                raise failures[0]


def describe(engine: Engine) -> str:
    said = [f"{engine.model_id} is {engine.state}"]
    if engine.load_progress is not None:
        said.append(f"{engine.load_progress:.0%}")
    if engine.load_eta_s is not None:
        said.append(f"about {engine.load_eta_s:.0f} s left")
    if engine.waiting:
        said.append(f"{engine.waiting} waiting")
    return ", ".join(said)
