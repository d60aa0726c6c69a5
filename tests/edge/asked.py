"""Pieces of request bodies that ask for tools and show pictures."""

from __future__ import annotations

CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PNG = "data:image/png;base64,iVBORw=="
PNG_BYTES = b"\x89PNG"


def calling(**changes):
    return {"role": "assistant", "content": None, "tool_calls": [{**CALL, **changes}]}


def shown(*parts, role="user"):
    return {"messages": [{"role": role, "content": list(parts)}]}


def image(url):
    return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}


def tool(**changes):
    return {"type": "function", "function": {"name": "f", **changes}}


def allowing(*names, mode="auto"):
    """A ``tool_choice`` that allows some of the tools."""
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def nested(depth):
    return {"a": nested(depth - 1)} if depth else {}
