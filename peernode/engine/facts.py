"""What is known of a loaded model, and how loaded its engine is: the numbers that adverts and routing live on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """``digest`` is the SHA-256 of the GGUF, ``context_length`` what one sequence may use here."""

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


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """A snapshot after some decode step. Rates are moving averages and stay at their last value when idle.

    ``decode_tps`` is what one sequence gets, ``prefill_tps`` what all prompts get together; 0.0 until measured.
    ``kv_used`` counts reserved cells: prompts and the completions they may still grow, ``kv_cached`` the
    cells of cached prefixes beside them. Of all prompts so far ``prefilled`` tokens were computed, ``reused`` were not.
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
