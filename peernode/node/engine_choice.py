"""Which settings one model runs with: its own where it names them, else the node's."""

from __future__ import annotations

from peernode.engine import EngineSettings, LoraAdapter
from peernode.node.config import EngineConfig
from peernode.node.model_entry import ModelEntry


def engine_settings(node: EngineConfig, entry: ModelEntry) -> EngineSettings:
    """``node`` is the ``[engine]`` section, ``entry`` the model's own table."""
    idle_timeout_s = node.idle_timeout_s if entry.idle_timeout_s is None else entry.idle_timeout_s
    return EngineSettings(
        slots=entry.slots or node.slots,
        context=entry.context or node.context,
        kv_tokens=entry.kv_tokens or node.kv_tokens,
        kv_type=entry.kv_type or node.kv_type,
        batch_tokens=node.batch_tokens,
        ubatch_tokens=node.ubatch_tokens,
        threads=entry.threads or node.threads,
        gpu_layers=node.gpu_layers if entry.gpu_layers is None else entry.gpu_layers,
        queue_limit=node.queue_limit,
        default_max_tokens=node.default_max_tokens,
        itl_target_ms=node.itl_target_ms,
        jump_ahead=node.jump_ahead,
        speculation=node.speculation,
        share_prefixes=node.share_prefixes if entry.share_prefixes is None else entry.share_prefixes,
        lazy=(entry.load or node.load) == "lazy",
        idle_timeout_s=idle_timeout_s or None,
        lora=tuple(LoraAdapter(adapter.path, adapter.scale) for adapter in entry.lora),
        projector=entry.projector,
        image_tokens=node.image_tokens,
        image_cache_mib=node.image_cache_mib,
        prefix_cache_mib=node.prefix_cache_mib,
        embeddings=entry.embeddings,
        pooling=entry.pooling,
    )
