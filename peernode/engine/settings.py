"""How an engine runs its model: slots, context, memory for keys and values, batch size, threads, GPU layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from peernode.engine.protocol import Load


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Defaults suit one consumer machine. ``None`` means that the engine decides.

    ``slots`` sequences run at once and share ``kv_tokens`` cells; each may use ``context`` of them. ``batch_tokens``
    bounds one decode step, ``queue_limit`` the jobs that wait for a slot.
    """

    slots: int = 8
    context: int = 4096
    kv_tokens: int | None = None
    batch_tokens: int = 512
    threads: int | None = None
    gpu_layers: int = -1
    queue_limit: int = 32
    default_max_tokens: int = 1024

    def __post_init__(self) -> None:
        for name, least in (
            ("slots", 1),
            ("context", 64),
            ("batch_tokens", 16),
            ("queue_limit", 0),
            ("default_max_tokens", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, at least {least} is needed")
        if self.batch_tokens < self.slots:
            raise ValueError(f"batch_tokens is {self.batch_tokens}, but one step must hold all {self.slots} slots")
        if self.kv_tokens is not None and self.kv_tokens < 64:
            raise ValueError(f"kv_tokens is {self.kv_tokens}, at least 64 is needed")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads is {self.threads}, at least 1 is needed")

    def load_order(self, path: Path) -> Load:
        """What a worker needs to know to run the model at ``path`` this way; 0 leaves the choice to it."""
        return Load(
            path=str(path),
            slots=self.slots,
            context=self.context,
            kv_tokens=self.kv_tokens or 0,
            batch_tokens=self.batch_tokens,
            threads=self.threads or 0,
            gpu_layers=self.gpu_layers,
            queue_limit=self.queue_limit,
            default_max_tokens=self.default_max_tokens,
        )
