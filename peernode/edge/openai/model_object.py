"""One model as ``/v1/models`` shows it: a superset of what OpenAI's and OpenRouter's clients read, as far as known."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from peernode.edge.services import CatalogModel

SUPPORTED = (
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "top_a",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "stop",
    "seed",
    "stream",
    "n",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "structured_outputs",
    "reasoning_effort",
)


def model_object(model: CatalogModel) -> dict[str, Any]:
    """The JSON of one model; prices are decimal strings of credits per token."""
    return {
        "id": model.id,
        "object": "model",
        "created": model.first_seen_s,
        "owned_by": model.owned_by,
        "name": model.id,
        "canonical_slug": model.id,
        "description": "",
        "context_length": model.context_length,
        "architecture": {
            "modality": "text+image->text" if model.sees else "text->text",
            "input_modalities": ["text", "image"] if model.sees else ["text"],
            "output_modalities": ["text"],
            "tokenizer": model.architecture,
            "instruct_type": None,
        },
        "pricing": {
            "prompt": per_token(model.prices.prompt),
            "cached_prompt": per_token(model.prices.cached),
            "completion": per_token(model.prices.completion),
            "request": "0",
            "image": "0",
        },
        "top_provider": {
            "context_length": model.context_length,
            "max_completion_tokens": None,
            "is_moderated": False,
        },
        "supported_parameters": list(SUPPORTED),
        "per_request_limits": None,
        "nodes_available": model.nodes_available,
        "quantizations": list(model.quantizations),
        "digests": [digest.hex() for digest in model.digests],
        "parameters": model.parameters,
    }


def per_token(price: int) -> str:
    """Micro-credits per million tokens as credits per token, in plain decimals."""
    return format(Decimal(price).scaleb(-12).normalize(), "f")
