"""``tools``, ``tool_choice`` and ``parallel_tool_calls``, read into the canonical tools."""

from __future__ import annotations

from typing import Any

from peernode.chat.canonical_json import canonical_json
from peernode.chat.errors import BadRequest
from peernode.chat.tools import (
    MAX_DESCRIPTION,
    MAX_PARAMETERS,
    MAX_TOOL_NAME,
    MAX_TOOLS,
    NAMED,
    NO_PARAMETERS,
    TOOL_NAME,
    Tool,
)
from peernode.edge.openai import fields
from peernode.wire.errors import BadSchema


def read_tools(value: object) -> tuple[Tool, ...]:
    """Raises BadRequest for the first entry that is no tool."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadRequest("tools must be an array.", param="tools", cause=f"found {fields.kind_of(value)}")
    if len(value) > MAX_TOOLS:
        raise BadRequest("tools has too many entries.", param="tools", cause=f"{len(value)} of {MAX_TOOLS}")
    tools: dict[str, Tool] = {}
    for index, entry in enumerate(value):
        tool = _read_tool(entry, f"tools[{index}]")
        if tool.name in tools:
            raise BadRequest("Two tools have one name.", param=f"tools[{index}].function.name")
        tools[tool.name] = tool
    return tuple(tools.values())


def read_tool_choice(value: object, tools: tuple[Tool, ...]) -> str:
    """``auto`` when there are tools and nothing else is said. Raises BadRequest."""
    if isinstance(value, dict):
        function: Any = value.get("function")
        if value.get("type") != "function" or not isinstance(function, dict):
            raise BadRequest(
                "tool_choice names no function.",
                param="tool_choice",
                remedy='Send {"type": "function", "function": {"name": …}}.',
            )
        name = read_tool_name(function.get("name"), "tool_choice.function.name")
        if name not in {tool.name for tool in tools}:
            raise BadRequest("tool_choice names a function that is not among the tools.", param="tool_choice")
        return f"{NAMED}{name}"
    if value is not None and value not in ("none", "auto", "required"):
        raise BadRequest("tool_choice must be none, auto, required or a function.", param="tool_choice")
    if not tools:
        if value == "required":
            raise BadRequest("tool_choice requires a call, and there are no tools.", param="tool_choice")
        return "none"
    return str(value or "auto")


def read_tool_name(value: object, param: str) -> str:
    """Raises BadRequest."""
    name = fields.text(value, param, most=MAX_TOOL_NAME)
    if not TOOL_NAME.fullmatch(name):
        raise BadRequest(f"{param} may hold only letters, digits, '_', '-' and '.'.", param=param)
    return name


def read_schema(value: object, param: str, *, most: int) -> str:
    """A JSON schema, which is an object, as canonical text. Raises BadRequest."""
    if not isinstance(value, dict):
        raise BadRequest(f"{param} must be a JSON schema, an object.", param=param, cause=fields.kind_of(value))
    try:
        source = canonical_json(value)
    except BadSchema as err:
        raise BadRequest(f"{param} cannot be read.", param=param, cause=err.sentence) from err
    if len(source) > most:
        raise BadRequest(f"{param} is too large.", param=param, cause=f"{len(source)} characters, at most {most}")
    return source


def _read_tool(entry: object, param: str) -> Tool:
    function: Any = entry.get("function") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or entry.get("type") != "function" or not isinstance(function, dict):
        raise BadRequest(
            f"{param} is not a function.", param=param, remedy='Send {"type": "function", "function": {"name": …}}.'
        )
    param = f"{param}.function"
    description, parameters = function.get("description"), function.get("parameters")
    return Tool(
        read_tool_name(function.get("name"), f"{param}.name"),
        "" if description is None else fields.text(description, f"{param}.description", most=MAX_DESCRIPTION, least=0),
        NO_PARAMETERS if parameters is None else read_schema(parameters, f"{param}.parameters", most=MAX_PARAMETERS),
        fields.boolean(function.get("strict"), f"{param}.strict"),
    )
