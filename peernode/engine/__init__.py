"""The engine room: one worker process per model around ``llama_decode``, behind the ``JobRunner`` interface.

Owns loading, batching, sampling, templates and the supervision of workers. Leaves the network and money to others.
Names are loaded on first use, so that a worker starts without the libraries of its owner.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peernode.engine.availability import EngineState
    from peernode.engine.digest_cache import DigestCache
    from peernode.engine.errors import EngineStopped, ModelLoadFailed
    from peernode.engine.facts import EngineLoad, ModelFacts
    from peernode.engine.load_times import LoadTimes
    from peernode.engine.lora import LoraAdapter
    from peernode.engine.memory_budget import MemoryBudget
    from peernode.engine.runner import Engine
    from peernode.engine.settings import EngineSettings
    from peernode.engine.stream import EngineStream

_HOMES = {
    "DigestCache": "digest_cache",
    "Engine": "runner",
    "EngineLoad": "facts",
    "EngineSettings": "settings",
    "EngineState": "availability",
    "EngineStopped": "errors",
    "EngineStream": "stream",
    "LoadTimes": "load_times",
    "LoraAdapter": "lora",
    "MemoryBudget": "memory_budget",
    "ModelFacts": "facts",
    "ModelLoadFailed": "errors",
}

__all__ = [
    "DigestCache",
    "Engine",
    "EngineLoad",
    "EngineSettings",
    "EngineState",
    "EngineStopped",
    "EngineStream",
    "LoadTimes",
    "LoraAdapter",
    "MemoryBudget",
    "ModelFacts",
    "ModelLoadFailed",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
