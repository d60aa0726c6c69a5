"""What is known of a loaded model, and how loaded its engine is: the numbers that adverts and routing live on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from peernode.engine.gguf_model import ModelHeader
from peernode.engine.protocol import Ready
from peernode.engine.quantization import quantization_name

# What every model that chats does beyond it, whatever it was trained for: tools, forms of answers, probabilities.
CHAT_FEATURES = ("tools", "structured", "logprobs")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """``digest`` is the SHA-256 of the GGUF (with adapters, that of ``lora``), ``context_length`` what one sequence may
    use here. ``template_digest`` and ``sampler_version`` are empty until the model was loaded once. ``features`` names
    what it can do beyond answering text with text: ``CHAT_FEATURES``, "vision", "embeddings".
    """

    id: str
    path: Path
    digest: bytes
    architecture: str
    parameters: int
    quantization: str
    context_length: int
    template_digest: bytes
    sampler_version: str
    size_bytes: int
    features: tuple[str, ...] = ()

    @classmethod
    def foreseen(
        cls,
        model_id: str,
        path: Path,
        header: ModelHeader,
        *,
        digest: bytes,
        size: int,
        context: int,
        features: tuple[str, ...] = (),
    ) -> Self:
        """What the header alone says, before the model is loaded."""
        return cls(
            id=model_id,
            path=path,
            digest=digest,
            architecture=header.architecture,
            parameters=header.parameters,
            quantization=quantization_name(header.file_type),
            context_length=min(context, header.context_length),
            template_digest=b"",
            sampler_version="",
            size_bytes=size,
            features=features,
        )

    @classmethod
    def found(cls, model_id: str, path: Path, ready: Ready, *, digest: bytes, size: int) -> Self:
        """What the worker that loaded the model says."""
        return cls(
            id=model_id,
            path=path,
            digest=digest,
            architecture=ready.architecture,
            parameters=ready.parameters,
            quantization=ready.quantization,
            context_length=ready.context_length,
            template_digest=ready.template_digest,
            sampler_version=ready.sampler_version,
            size_bytes=size,
            features=tuple(ready.features),
        )


@dataclass(frozen=True, slots=True)
class StepSeconds:
    """Where the time of decode steps went, in seconds since the worker's start.

    Choosing and filling batches, llama.cpp's decode, choosing tokens and making text of them, sending the news, moving
    idle prefixes to the host's memory.
    """

    fill: float = 0.0
    decode: float = 0.0
    sample: float = 0.0
    emit: float = 0.0
    move: float = 0.0


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """A snapshot after some decode step. Rates are moving averages and stay at their last value when idle.

    ``decode_tps`` is what one sequence gets, ``prefill_tps`` what all prompts get together; 0.0 until measured.
    ``kv_used`` counts reserved cells: prompts and the completions they may still grow, ``kv_cached`` the
    cells of cached prefixes beside them, ``stored`` the tokens whose cells the host keeps. Of all prompts so far
    ``prefilled`` tokens were computed, ``reused`` were not; of ``drafted`` tokens ``accepted`` were right. ``load_s``:
    about how long the model has still to be loaded before it answers; 0.0 when it is loaded.
    """

    slots: int
    free_slots: int
    queued: int
    kv_used: int
    kv_tokens: int
    decode_tps: float
    prefill_tps: float
    steps: int
    kv_cached: int = 0
    prefilled: int = 0
    reused: int = 0
    drafted: int = 0
    accepted: int = 0
    seconds: StepSeconds = StepSeconds()
    stored: int = 0
    load_s: float = 0.0
