"""Bodies that work as they stand; ``auto`` is whatever model is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Examples = Mapping[str, Mapping[str, Any]]
_ASKS: Mapping[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "Name a colour."}]}
_WEATHER: Mapping[str, Any] = {
    "name": "weather",
    "description": "The weather of a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
_COLOUR: Mapping[str, Any] = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
CHAT: Examples = {
    "a chat": {**_ASKS, "max_tokens": 16},
    "as it comes": {**_ASKS, "max_tokens": 16, "stream": True, "stream_options": {"include_usage": True}},
    "JSON of a schema": {
        **_ASKS,
        "max_tokens": 32,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": _COLOUR}},
    },
    "a tool": {**_ASKS, "max_tokens": 32, "tools": [{"type": "function", "function": _WEATHER}]},
    "a provider of choice": {
        **_ASKS,
        "max_tokens": 16,
        "provider": {"sort": "price", "max_price": {"completion": 1000}},
    },
}
PROMPT: Examples = {
    "a prompt": {"model": "auto", "prompt": "Name a colour.", "max_tokens": 16},
    "several": {"model": "auto", "prompt": ["Name a colour.", "Name a fruit."], "max_tokens": 8},
}
RESPONSES: Examples = {
    "a question": {"model": "auto", "input": "Name a colour.", "max_output_tokens": 16},
    "a conversation": {
        "model": "auto",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": "Name a colour."},
            {"role": "assistant", "content": "Red."},
            {"role": "user", "content": "Another."},
        ],
        "max_output_tokens": 16,
    },
}
EMBEDDINGS: Examples = {"two texts": {"model": "an-embedding-model", "input": ["The sky is blue.", "Grass is green."]}}
PEERWAVE: Examples = {"a chat": {**_ASKS, "options": {"num_predict": 16, "temperature": 0}}}
TOOL: Examples = {"prices": {"function": {"name": "pricing_info", "arguments": {}}}}
LOGIN: Examples = {"from an app": {"redirect": "http://localhost/app", "key": f"sk-pn-{'k' * 10}{'0' * 43}"}}
