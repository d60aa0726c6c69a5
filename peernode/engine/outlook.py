"""What can be said of a model before it is loaded: its facts as far as the header goes, and the memory it will want."""

from __future__ import annotations

from pathlib import Path

from peernode.engine.embedding_window import beside_embedding, embedding_window
from peernode.engine.facts import CHAT_FEATURES, ModelFacts
from peernode.engine.gguf_model import ModelHeader
from peernode.engine.memory_plan import wanted_bytes
from peernode.engine.settings import EngineSettings
from peernode.engine.worker.vision.projector_file import projector_bytes


def foreseen_facts(
    model_id: str, path: Path, header: ModelHeader, settings: EngineSettings, *, digest: bytes, size: int
) -> ModelFacts:
    """The template's digest and the sampler are known only after the load."""
    embeds = settings.embeddings or header.is_embedder
    features = ("embeddings",) if embeds else (*CHAT_FEATURES, "vision") if settings.projector else CHAT_FEATURES
    return ModelFacts.foreseen(
        model_id,
        path,
        header,
        digest=digest,
        size=size,
        context=_window(header, settings) if embeds else settings.context,
        features=features,
    )


def needed_bytes(header: ModelHeader, settings: EngineSettings, *, adapters: int) -> int:
    """What the model takes when it gets all that it was configured for."""
    if settings.embeddings or header.is_embedder:
        window = _window(header, settings)
        beside = adapters + beside_embedding(header, window)
        return wanted_bytes(header, context=window, slots=1, kv_tokens=window, beside=beside)
    return wanted_bytes(
        header,
        context=settings.context,
        slots=settings.slots,
        kv_tokens=settings.kv_tokens,
        kv_type=settings.kv_type,
        beside=adapters + projector_bytes(settings.projector),
    )


def _window(header: ModelHeader, settings: EngineSettings) -> int:
    return embedding_window(header, context=settings.context, batch_tokens=settings.batch_tokens or 0)
