"""Answers as they look, by the name of their component, and the events of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ULID = "01K3ZJ8Q5V6W7X8Y9ZABCDEFGH"
_REQUEST = f"req_{_ULID}"
_DIGEST = "9055" + "0" * 60
_PEER = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
_BILL = {
    "provider": _PEER,
    "receipt": {"id": _REQUEST, "digest": _DIGEST, "url": f"/v1/receipts/{_REQUEST}"},
}
_USAGE = {
    "prompt_tokens": 34,
    "completion_tokens": 2,
    "total_tokens": 36,
    "prompt_tokens_details": {"cached_tokens": 31},
    "cost": 0.000004,
}
_MODEL = "SmolLM2-135M-Instruct.Q4_1"
_HEAD = {"created": 1_790_000_000, "model": _MODEL, "request_id": _REQUEST}
_ENDING = {"finish_reason": "stop", "native_finish_reason": "stop", "request_id": _REQUEST}
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "ChatCompletion": {
        "id": f"chatcmpl-{_ULID}",
        "object": "chat.completion",
        **_HEAD,
        **_BILL,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Red."}, "logprobs": None, **_ENDING},
        ],
        "usage": _USAGE,
    },
    "TextCompletion": {
        "id": f"cmpl-{_ULID}",
        "object": "text_completion",
        **_HEAD,
        **_BILL,
        "choices": [{"index": 0, "text": "Red.", "logprobs": None, **_ENDING}],
        "usage": _USAGE,
    },
    "Response": {
        "id": f"resp_{_ULID}",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "model": _MODEL,
        "output": [
            {
                "id": f"msg_{_ULID}_0",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Red.", "annotations": [], "logprobs": []}],
            }
        ],
        "usage": {"input_tokens": 34, "output_tokens": 2, "total_tokens": 36},
        "request_id": _REQUEST,
        **_BILL,
    },
    "Embeddings": {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}],
        "model": "an-embedding-model",
        "usage": {"prompt_tokens": 6, "total_tokens": 6, "cost": 0.0000006},
        "request_id": _REQUEST,
        **_BILL,
    },
    "PeerwaveReply": {
        "model": _MODEL,
        "message": {"role": "assistant", "content": "Red."},
        "done": True,
        "finish_reason": "stop",
        "Credits": 0.000004,
        "request_id": _REQUEST,
        **_BILL,
    },
    "Model": {
        "id": _MODEL,
        "object": "model",
        "created": 1_790_000_000,
        "owned_by": "peernode",
        "name": _MODEL,
        "canonical_slug": _MODEL,
        "description": "",
        "context_length": 8192,
        "architecture": {"modality": "text->text", "input_modalities": ["text"], "output_modalities": ["text"]},
        "pricing": {"prompt": "0.0000001", "cached_prompt": "0.000000025", "completion": "0.0000004"},
        "top_provider": {"context_length": 8192},
        "supported_parameters": ["max_tokens", "temperature"],
        "nodes_available": 2,
        "quantizations": ["Q4_1"],
        "digests": [_DIGEST],
        "parameters": 134_515_008,
    },
    "Node": {
        "peer_id": _PEER,
        "models": [_MODEL],
        "max_concurrent_jobs": 4,
        "free_slots": 3,
        "queued": 0,
        "multiaddrs": [f"/ip4/192.0.2.1/tcp/4001/p2p/{_PEER}"],
        "version": "0.1.0",
        "last_seen_ms": 1_790_000_000_000,
        "offers": [],
    },
}
