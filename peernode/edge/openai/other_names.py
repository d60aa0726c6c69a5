"""Parameters under the names that Peerwave's, Ollama's and Qolaba's clients have for them, put under OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peernode.chat.errors import BadRequest
from peernode.edge.openai.fields import kind_of

# Ollama's name in ``options``: ours at the top level.
_OPTIONS = {
    "seed": "seed",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "num_predict": "max_tokens",
    "stop": "stop",
    "repeat_penalty": "repetition_penalty",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
_SAME = {"max_tokens": ("max_completion_tokens",), "repetition_penalty": ("repeat_penalty",)}


def with_usual_names(body: Mapping[str, Any]) -> dict[str, Any]:
    """``body`` with ``format`` as ``response_format``, and ``options`` at the top level, where what is there wins.

    Raises BadRequest when either is not what its clients send.
    """
    options = body.get("options")
    if options is None and body.get("format") is None:
        return dict(body)
    usual = dict(body)
    wanted = _format(usual.pop("format", None))
    if usual.get("response_format") is None:
        usual["response_format"] = wanted
    if options is not None and not isinstance(options, dict):
        raise BadRequest("options must be an object.", param="options", cause=f"found {kind_of(options)}")
    for theirs, ours in _OPTIONS.items():
        said = any(body.get(name) is not None for name in (ours, *_SAME.get(ours, ())))
        if options and theirs in options and not said:
            usual[ours] = _unlimited(theirs, options[theirs])
    return usual


def _format(value: object) -> dict[str, Any] | None:
    """``"json"``, or a schema, as Ollama takes it too."""
    if value is None or value == "":
        return None
    if value == "json":
        return {"type": "json_object"}
    if isinstance(value, dict):
        return {"type": "json_schema", "json_schema": {"name": "format", "schema": value}}
    raise BadRequest('format can only be "json", or a JSON schema.', param="format")


def _unlimited(name: str, value: object) -> object:
    """Below zero, num_predict means as much as there is room for."""
    endless = name == "num_predict" and isinstance(value, int) and not isinstance(value, bool) and value < 0
    return None if endless else value
