"""In what manner the client wants to be served: with thoughts or without, in the background, sharing its prompt."""

from __future__ import annotations

from typing import Any

from peernode.chat.errors import BadRequest
from peernode.edge.openai import fields

# OpenAI's levels. A template knows only on and off, so that all but "none" mean on.
EFFORTS = {"none": "off", "minimal": "on", "low": "on", "medium": "on", "high": "on", "xhigh": "on"}
TIERS = ("auto", "default", "flex", "priority", "scale")


def read_reasoning(body: dict[str, Any]) -> str:
    """``reasoning_effort``, or ``chat_template_kwargs.enable_thinking`` as vLLM's and llama.cpp's clients send it.

    Empty when neither is there. Raises BadRequest.
    """
    effort = body.get("reasoning_effort")
    if effort is not None and (not isinstance(effort, str) or effort not in EFFORTS):
        raise BadRequest(f"reasoning_effort must be one of {', '.join(EFFORTS)}.", param="reasoning_effort")
    wanted = "" if effort is None else EFFORTS[effort]
    switched = _read_switch(body.get("chat_template_kwargs"))
    if wanted and switched and wanted != switched:
        raise BadRequest(
            "reasoning_effort and enable_thinking contradict each other.",
            param="reasoning_effort",
            remedy="Send one of them.",
        )
    return switched or wanted


def read_background(tier: object) -> bool:
    """Whether ``service_tier`` is the one that gives way to others. Raises BadRequest."""
    if tier is not None and tier not in TIERS:
        raise BadRequest(f"service_tier must be one of {', '.join(TIERS)}.", param="service_tier")
    return tier == "flex"


def _read_switch(value: object) -> str:
    param = "chat_template_kwargs"
    if value is None:
        return ""
    if not isinstance(value, dict):
        raise BadRequest(f"{param} must be an object.", param=param, cause=fields.kind_of(value))
    others = sorted(value.keys() - {"enable_thinking"})
    if others:
        raise BadRequest(f"{param} may hold only enable_thinking.", param=param, cause=ascii(others[0][:40]))
    if value.get("enable_thinking") is None:
        return ""
    return "on" if fields.boolean(value["enable_thinking"], f"{param}.enable_thinking") else "off"
