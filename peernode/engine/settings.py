"""How an engine runs its model: when it is loaded, slots, context, memory, batches, threads, GPU layers, adapters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from peernode.engine.kv_type import KV_TYPES, KvType
from peernode.engine.lora import MAX_ADAPTERS, LoraAdapter
from peernode.engine.protocol import Load

Speculation: TypeAlias = Literal["auto", "off"]
Pooling: TypeAlias = Literal["mean", "cls", "last"]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Defaults suit one consumer machine. ``None`` means that the engine decides, from the machine and the model.

    ``slots`` sequences run at once and share ``kv_tokens`` cells; each may use ``context`` of them. ``batch_tokens``
    bounds one decode step, ``ubatch_tokens`` what the kernels compute at once (on a CPU more than 60 makes prompts
    faster and answers depend on their company), ``queue_limit`` the jobs that wait for a slot. ``itl_target_ms`` is
    the pause between two tokens of an answer that long prompts of others may cause.

    A ``lazy`` model is loaded with the first job and unloaded when it was idle for ``idle_timeout_s`` (None: never),
    or when others need its memory. With ``share_prefixes`` everybody's jobs share cached prefixes, so that a stranger
    can tell by the time whether somebody asked the same before. ``prefix_cache_mib`` of the host's memory keep what
    was computed of prompts and answers after the model's own memory has no room for it. ``embeddings`` makes a chat
    model an embedder.

    A ``projector`` lets the model see: an image may take ``image_tokens`` of its context, and ``image_cache_mib`` of
    what was made of images is kept for the next time.
    """

    slots: int = 8
    context: int = 4096
    kv_tokens: int | None = None
    kv_type: KvType = "auto"
    batch_tokens: int | None = None
    ubatch_tokens: int | None = None
    threads: int | None = None
    gpu_layers: int = -1
    queue_limit: int = 32
    default_max_tokens: int = 1024
    itl_target_ms: int = 150
    jump_ahead: bool = True
    speculation: Speculation = "auto"
    share_prefixes: bool = False
    lazy: bool = False
    idle_timeout_s: float | None = 600.0
    lora: tuple[LoraAdapter, ...] = ()
    projector: Path | None = None
    image_tokens: int = 1536
    image_cache_mib: int = 256
    prefix_cache_mib: int | None = None
    embeddings: bool = False
    pooling: Pooling | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("slots", 1),
            ("context", 64),
            ("kv_tokens", 64),
            ("batch_tokens", 16),
            ("ubatch_tokens", 16),
            ("threads", 1),
            ("queue_limit", 0),
            ("default_max_tokens", 1),
            ("itl_target_ms", 1),
            ("image_tokens", 16),
            ("image_cache_mib", 0),
            ("prefix_cache_mib", 0),
            ("idle_timeout_s", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}, at least {least} is needed")
        if self.batch_tokens is not None and self.batch_tokens < self.slots:
            raise ValueError(f"batch_tokens is {self.batch_tokens}, but one step must hold all {self.slots} slots")
        if self.kv_type not in KV_TYPES:
            raise ValueError(f"kv_type is {self.kv_type!r}, known are {', '.join(KV_TYPES)}")
        if len(self.lora) > MAX_ADAPTERS:
            raise ValueError(f"{len(self.lora)} adapters are too many, at most {MAX_ADAPTERS} are allowed")

    def load_order(self, path: Path, *, memory: int | None = None) -> Load:
        """What a worker needs to know to run the model at ``path`` this way; 0 and "" leave the choice to it.

        ``memory`` is what it may take, in bytes.
        """
        return Load(
            path=str(path),
            slots=self.slots,
            context=self.context,
            kv_tokens=self.kv_tokens or 0,
            batch_tokens=self.batch_tokens or 0,
            threads=self.threads or 0,
            gpu_layers=self.gpu_layers,
            queue_limit=self.queue_limit,
            default_max_tokens=self.default_max_tokens,
            kv_type=self.kv_type,
            ubatch_tokens=self.ubatch_tokens or 0,
            itl_target_ms=self.itl_target_ms,
            jump_ahead=self.jump_ahead,
            speculation=self.speculation,
            lora=[[str(adapter.path), float(adapter.scale)] for adapter in self.lora],
            projector=str(self.projector or ""),
            image_tokens=self.image_tokens,
            image_cache_bytes=self.image_cache_mib << 20,
            embeddings=self.embeddings,
            pooling=self.pooling or "",
            memory=memory or 0,
            prefix_cache_bytes=-1 if self.prefix_cache_mib is None else self.prefix_cache_mib << 20,
        )
