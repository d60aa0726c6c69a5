"""``tool_choice`` of the type ``allowed_tools``: which tools may be called this time, and whether one must be."""

from __future__ import annotations

from typing import Any

from peernode.chat.errors import BadRequest
from peernode.chat.tools import Tool
from peernode.edge.openai.tools import read_tool_name

ALLOWED = "allowed_tools"
_PARAM = "tool_choice.allowed_tools"


def narrow(choice: object, tools: tuple[Tool, ...]) -> tuple[object, tuple[Tool, ...]]:
    """The choice that is meant, and the tools that it leaves: the model hears of no others. Other choices pass.

    Raises BadRequest.
    """
    if not isinstance(choice, dict) or choice.get("type") != ALLOWED:
        return choice, tools
    allowed: Any = choice.get(ALLOWED)
    named = allowed.get("tools") if isinstance(allowed, dict) else None
    if not isinstance(allowed, dict) or not isinstance(named, list) or not named:
        raise BadRequest("tool_choice names no tools that are allowed.", param=_PARAM)
    if allowed.get("mode") not in ("auto", "required"):
        raise BadRequest(f"{_PARAM}.mode must be auto or required.", param=f"{_PARAM}.mode")
    names = {_name_in(entry, f"{_PARAM}.tools[{index}]") for index, entry in enumerate(named)}
    if not names <= {tool.name for tool in tools}:
        raise BadRequest("tool_choice allows a function that is not among the tools.", param=f"{_PARAM}.tools")
    return allowed["mode"], tuple(tool for tool in tools if tool.name in names)


def _name_in(entry: object, param: str) -> str:
    function: Any = entry.get("function") if isinstance(entry, dict) else None
    if not isinstance(function, dict):
        raise BadRequest(f"{param} is not a function.", param=param)
    return read_tool_name(function.get("name"), f"{param}.function.name")
